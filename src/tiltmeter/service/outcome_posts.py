"""`POST /api/v1/outcomes`: what became of leads, told by a CRM or a shop; signed where a secret is configured."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from tiltmeter.service.signed_posts import BadSignatureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiltmeter.service.signed_posts import SignedPosts


class OutcomeBody(BaseModel):
    """One outcome."""

    model_config = ConfigDict(extra="forbid")
    entity_id: str = Field(min_length=1, max_length=500)
    converted: bool
    at: datetime
    revenue: float | None = Field(default=None, allow_inf_nan=False)
    currency: str | None = Field(default=None, max_length=3)
    label: str | None = Field(default=None, max_length=200)
    model: str | None = Field(default=None, max_length=200)
    outcome_id: str | None = Field(default=None, max_length=200)


async def _raw_body(request: Request) -> bytes:
    return await request.body()


_RAW_BODY = Depends(_raw_body)


def outcome_routes(record: Callable[[list[dict[str, Any]]], int], posts: SignedPosts | None) -> APIRouter:
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
        for outcome in body:
            if outcome.at.tzinfo is None:
                raise HTTPException(422, "`at` needs a time zone, such as 2026-11-23T06:00:00Z")
        told = [o.model_dump() for o in body]
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


_UNSIGNED: dict[int | str, dict[str, Any]] = {401: {"description": "the key or the signature is missing or wrong"}}
