"""`POST /api/v1/outcomes`: what became of leads, told by a CRM or a shop; signed where a secret is configured."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.outcome import MOST_REVENUE, Outcome, checked_outcome
from tiltmeter.service.signed_posts import BadSignatureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiltmeter.service.signed_posts import SignedPosts


Id = Annotated[StrictStr, Field(min_length=1, max_length=500)] | Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
"""A number or text, as the source has it."""


class OutcomeBody(BaseModel):
    """One outcome."""

    model_config = ConfigDict(extra="forbid")
    entity_id: Id
    converted: bool | None = None
    at: datetime
    revenue: float | None = Field(default=None, ge=-MOST_REVENUE, le=MOST_REVENUE, allow_inf_nan=False)
    currency: str | None = Field(default=None, max_length=3)
    label: str | None = Field(default=None, max_length=200)
    model: str | None = Field(default=None, max_length=200)
    outcome_id: Id | None = None

    def checked(self) -> Outcome:
        """As the spool keeps it.

        Raises:
            UsageError: a value makes no sense.
        """
        facts = self.model_dump()
        return checked_outcome(time=facts.pop("at"), **facts)


async def _raw_body(request: Request) -> bytes:
    return await request.body()


_RAW_BODY = Depends(_raw_body)


def outcome_routes(record: Callable[[list[Outcome]], int], posts: SignedPosts | None) -> APIRouter:
    """The route of outcomes.

    Args:
        record: keeps outcomes in the spool, says how many.
        posts: checks signatures; None asks for none.
    """
    router = APIRouter(tags=["outcomes"])

    @router.post("/outcomes", status_code=202, responses=_UNSIGNED)
    def outcomes(
        request: Request,
        body: Annotated[list[OutcomeBody], Body(max_length=10_000)],
        sent: bytes = _RAW_BODY,
    ) -> dict[str, int]:
        """Report conversions and revenue; acknowledged once they are in the spool. A repeated post counts nothing."""
        told = _all_checked(body)  # before the first is kept
        if posts is None:
            return {"accepted": record(told)}
        try:
            post = posts.checked({key.lower(): value for key, value in request.headers.items()}, sent)
        except BadSignatureError as error:
            raise HTTPException(401, str(error)) from error
        if posts.is_kept(post):
            return {"accepted": 0}
        accepted = record(told)
        posts.mark_kept(post)
        return {"accepted": accepted}

    return router


def _all_checked(body: list[OutcomeBody]) -> list[Outcome]:
    told = []
    for place, outcome in enumerate(body):
        try:
            told.append(outcome.checked())
        except UsageError as error:
            raise HTTPException(422, f"outcome {place}: {error}") from error
    return told


_UNSIGNED: dict[int | str, dict[str, Any]] = {401: {"description": "the key or the signature is missing or wrong"}}
