"""The HTTP face of the service: health, metrics, live numbers and the API of the pages and of other systems."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from tiltmeter.domain.errors import ConfigError, TiltmeterError
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.ports import MetricQuery
from tiltmeter.registry import did_you_mean
from tiltmeter.service.access import Access, Role
from tiltmeter.service.ack_pages import ack_routes
from tiltmeter.service.answers import (
    alert_json,
    delivery_json,
    event_json,
    incident_json,
    metric_json,
    profile_json,
    window_json,
)
from tiltmeter.service.audit import AUDITED
from tiltmeter.service.limits import BodyLimit
from tiltmeter.service.outcome_posts import outcome_routes

if TYPE_CHECKING:
    from tiltmeter.domain.alert import Incident, Silence
    from tiltmeter.domain.outcome import Outcome
    from tiltmeter.ports import World
    from tiltmeter.service.ack_links import AckLinks
    from tiltmeter.service.signed_posts import SignedPosts

MAX_METRICS = 100_000
"""Rows of one answer; a larger question is refused with the advice to narrow it."""

MOST_FAULTS = 20
"""Faults that a refusal names; a post of thousands may have one in each."""

LONGEST_TEXT = 1_000
"""Characters of a text in a refusal, which may quote a name of the caller's."""

Text = Annotated[str, Query(max_length=200)]


class Operations(Protocol):
    """What the service does for a caller besides reading. Every method is one transaction."""

    def acknowledge(self, incident_id: str, *, by: str, note: str) -> Incident:
        """Acknowledge; the same person twice changes nothing."""
        ...

    def silence(self, matchers: dict[str, str], *, until: datetime, by: str, reason: str) -> Silence:
        """Keep quiet about what matches until then."""
        ...

    def unsilence(self, silence_id: str, *, by: str) -> bool:
        """End a silence early; False when there is none of that id."""
        ...

    def record_outcomes(self, outcomes: list[Outcome]) -> int:
        """Write outcomes into the spool; the number written."""
        ...

    def live(self) -> dict[str, Any]:
        """The last minute's numbers by model."""
        ...

    def prometheus(self) -> str:
        """Everything in Prometheus' text format."""
        ...

    def readiness(self) -> dict[str, str]:
        """What is not ready, by part; empty when all is well."""
        ...


class Acknowledgement(BaseModel):
    """Body of an acknowledgement."""

    model_config = ConfigDict(extra="forbid")
    by: str = Field(default="", max_length=100)
    note: str = Field(default="", max_length=1000)


class SilenceRequest(BaseModel):
    """Body of a new silence."""

    model_config = ConfigDict(extra="forbid")
    matchers: dict[Annotated[str, Field(max_length=100)], Annotated[str, Field(max_length=200)]] = Field(min_length=1)
    minutes: int = Field(ge=1, le=30 * 24 * 60)
    by: str = Field(default="", max_length=100)
    reason: str = Field(min_length=1, max_length=500)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    role: Role
    name: str


def create_app(
    world: World, operations: Operations, access: Access, links: AckLinks | None = None,
    posts: SignedPosts | None = None, most_numbers: int = MAX_METRICS,
) -> FastAPI:  # fmt: skip
    """The ASGI application.

    Args:
        world: what is read.
        operations: what is done for callers.
        access: who may do what.
        links: reads the signed links of messages; None answers none.
        posts: checks signatures of outcome posts; None asks for none.
        most_numbers: of one answer.
    """
    app = FastAPI(title="Tiltmeter", version="1", docs_url="/docs", redoc_url=None, openapi_url="/openapi.json")
    app.add_middleware(BodyLimit)
    app.add_exception_handler(TiltmeterError, _explained)
    app.add_exception_handler(RequestValidationError, _refused)
    app.include_router(_health_routes(operations, access))
    app.include_router(
        _read_routes(world, operations, most_numbers), dependencies=[_needs(access, Role.READ)], prefix="/api/v1"
    )
    app.include_router(_operate_routes(operations, access), prefix="/api/v1")
    # A signature says who sent it: a key is asked for in addition where there is one for outcomes.
    asks_key = posts is None or Role.OUTCOMES in access.keys
    needed = [_needs(access, Role.OUTCOMES)] if asks_key else []
    app.include_router(outcome_routes(operations.record_outcomes, posts), dependencies=needed, prefix="/api/v1")
    if links is not None:
        app.include_router(ack_routes(world, links, operations.acknowledge))
    return app


async def _explained(_: Request, error: Exception) -> JSONResponse:
    status = 422 if isinstance(error, ConfigError) else 503
    return JSONResponse({"detail": _sendable(str(error))}, status_code=status)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    """What is wrong with a request, without the value: a NaN or half a character could not be sent back."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    detail = [
        {
            "loc": [_sendable(part) if isinstance(part, str) else part for part in one["loc"]],
            "msg": _sendable(one["msg"]),
            "type": one["type"],
        }
        for one in found[:MOST_FAULTS]
    ]
    return JSONResponse({"detail": detail, "faults": len(found)}, status_code=422)


def _sendable(text: str) -> str:
    return text[:LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()


def _needs(access: Access, role: Role) -> Any:  # noqa: ANN401 - FastAPI's dependency marker
    def check(request: Request) -> Caller:
        if access.trusted_header and len(request.headers.getlist(access.trusted_header)) > 1:
            # One of them may be the caller's own: a proxy that vouches for people replaces what they send.
            raise HTTPException(401, f"the header {access.trusted_header} came more than once")
        found, name = access.role_of({key.lower(): value for key, value in request.headers.items()})
        if found is Role.NONE:
            raise HTTPException(401, "a key is needed: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
        if not found.allows(role):
            raise HTTPException(403, f"this needs the role {role.name.lower()}")
        return Caller(found, name)

    return Depends(check)


def _health_routes(operations: Operations, access: Access) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/healthz", response_class=PlainTextResponse)
    def healthz() -> str:
        """The process answers."""
        return "ok"

    @router.get("/readyz", responses={503: {"description": "something is not ready"}})
    def readyz() -> JSONResponse:
        """Every part is ready, or which one is not and why."""
        missing = operations.readiness()
        return JSONResponse({"ready": not missing, "not_ready": missing}, status_code=503 if missing else 200)

    @router.get("/metrics", response_class=PlainTextResponse, dependencies=[_needs(access, Role.READ)])
    def metrics() -> PlainTextResponse:
        """Prometheus' text format."""
        return PlainTextResponse(operations.prometheus(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/live", dependencies=[_needs(access, Role.READ)])
    def live() -> dict[str, Any]:
        """The last minute by model."""
        return operations.live()

    return router


def _read_routes(world: World, operations: Operations, most_numbers: int) -> APIRouter:
    router = APIRouter(tags=["read"])

    def known(model: Annotated[str, Path(max_length=200)]) -> str:
        if model not in world.models:
            raise HTTPException(404, f'there is no model "{model}"; {did_you_mean(model, list(world.models))}')
        return model

    model_name = Depends(known)

    @router.get("/models")
    def models() -> list[dict[str, Any]]:
        """Monitored models with their open incidents."""
        incidents = world.state.incidents()
        return [{"name": name, "open_incidents": [i.id for i in incidents if i.model == name]} for name in world.models]

    @router.get("/models/{model}/live", responses=_NOT_FOUND)
    def live(model: str = model_name) -> dict[str, Any]:
        """The model's last minute."""
        found: dict[str, Any] = operations.live().get("models", {}).get(model, {})
        return found

    @router.get("/models/{model}/metrics", responses=_NOT_FOUND)
    def metrics(  # each argument is one query parameter of the interface
        model: str = model_name,
        metric: Text | None = None,
        since: Annotated[datetime | None, Query(alias="from")] = None,
        until: Annotated[datetime | None, Query(alias="to")] = None,
        grain: Grain | None = None,
        version: Text | None = None,
        segment: Annotated[str | None, Query(max_length=400, description="key=value")] = None,
        feature: Text | None = None,
    ) -> list[dict[str, Any]]:
        """Stored numbers, oldest first."""
        if metric is not None and metric not in CATALOGUE:
            raise HTTPException(422, f'there is no metric "{metric}"; {did_you_mean(metric, list(CATALOGUE))}')
        key, _, value = (segment or "").partition("=")
        query = MetricQuery(
            model=model, metric=metric, since=_aware(since), until=_aware(until), grain=grain, version=version,
            feature=feature, segment=(key, value) if segment is not None else None,
        )  # fmt: skip
        matching = world.state.count(query)
        if matching > most_numbers:
            raise HTTPException(422, f"{matching} numbers match; narrow it by metric, feature, from or to")
        found = world.state.metrics(query)
        return [metric_json(m) for m in found]

    @router.get("/models/{model}/windows", responses=_NOT_FOUND)
    def windows(model: str = model_name, limit: Annotated[int, Query(ge=1, le=10_000)] = 500) -> list[dict[str, Any]]:
        """Judged windows with their number of rows, newest first."""
        found = world.state.metrics(MetricQuery(model=model, metric="features.rows", version="", segment=("", "")))
        return [{**window_json(m.window), "rows": m.value, "status": str(m.status)} for m in found[::-1][:limit]]

    @router.get("/jobs")
    def jobs(days: Annotated[int, Query(ge=1, le=400)] = 30) -> list[dict[str, Any]]:
        """Batch runs, newest last."""
        return [_plain(run) for run in world.log.batch_runs(world.clock.now() - timedelta(days=days))]

    _incident_routes(router, world)
    _profile_route(router, world, model_name)
    return router


def _incident_routes(router: APIRouter, world: World) -> None:
    @router.get("/audit")
    def audit(limit: Annotated[int, Query(ge=1, le=10_000)] = 500) -> list[dict[str, Any]]:
        """Who changed silences and rules, newest first, with what was before and after."""
        return [event_json(event) for event in world.state.events(kinds=AUDITED)[: -limit - 1 : -1]]

    @router.get("/incidents")
    def incidents(
        model: Text | None = None, *, only_open: Annotated[bool, Query(alias="open")] = False
    ) -> list[dict[str, Any]]:
        """Incidents, newest first."""
        return [incident_json(i) for i in world.state.incidents(model, open_only=only_open)]

    @router.get("/incidents/{incident_id}", responses=_NOT_FOUND)
    def incident(incident_id: Annotated[str, Path(max_length=100)]) -> dict[str, Any]:
        """One incident with its alerts, events and deliveries."""
        found = world.state.incident(incident_id)
        if found is None:
            raise HTTPException(404, f'there is no incident "{incident_id}"')
        alerts = world.state.alerts(found.model, open_only=False).values()
        return {
            **incident_json(found),
            "alerts": [alert_json(a) for a in alerts if a.incident == found.id],
            "events": [event_json(e) for e in world.state.events(incident=found.id)],
            "deliveries": [delivery_json(d) for d in world.state.deliveries(incident=found.id)],
        }


def _profile_route(router: APIRouter, world: World, model_name: Any) -> None:  # noqa: ANN401 - dependency marker
    @router.get("/models/{model}/profile", responses=_NOT_FOUND)
    def profile(
        feature: Annotated[str, Query(max_length=200)],
        since: Annotated[datetime, Query(alias="from")],
        until: Annotated[datetime, Query(alias="to")],
        model: str = model_name,
    ) -> dict[str, Any]:
        """Rows per bin or level of one feature in a span, beside the baseline's and those of the span before."""
        start, end = _aware(since), _aware(until)
        if start is None or end is None or start >= end:
            raise HTTPException(422, "`from` must be earlier than `to`")
        window = Window(start, end, Grain.LIVE)
        reference = world.baselines.judging(world.models[model], window)
        if reference is None or feature not in reference.bins.features:
            raise HTTPException(404, f'there is no profile of "{feature}" yet')
        bins_id = reference.bins.bins_id
        spans = {"current": window, "previous": window.previous}
        return profile_json(
            feature, reference, {name: world.states.total(model, bins_id, span) for name, span in spans.items()}
        )


def _operate_routes(operations: Operations, access: Access) -> APIRouter:
    router = APIRouter(tags=["operate"])
    operate = _needs(access, Role.OPERATE)

    @router.post("/incidents/{incident_id}/ack", responses=_NOT_FOUND)
    def acknowledge(
        incident_id: Annotated[str, Path(max_length=100)],
        body: Annotated[Acknowledgement | None, Body()] = None,
        caller: Caller = operate,
    ) -> dict[str, Any]:
        """Acknowledge: escalation and reminders stop."""
        said = body or Acknowledgement()
        try:
            return incident_json(operations.acknowledge(incident_id, by=said.by or caller.name, note=said.note))
        except KeyError as error:
            raise HTTPException(404, f'there is no incident "{incident_id}"') from error

    @router.post("/silences", status_code=201)
    def silence(body: SilenceRequest, caller: Caller = operate) -> dict[str, Any]:
        """Keep quiet about what matches, with a reason and an end."""
        until = datetime.now(UTC) + timedelta(minutes=body.minutes)
        made = operations.silence(body.matchers, until=until, by=body.by or caller.name, reason=body.reason)
        return {"id": made.id, "ends_at": made.ends_at.isoformat(), "matchers": dict(made.matchers)}

    @router.delete("/silences/{silence_id}", responses=_NOT_FOUND)
    def unsilence(silence_id: Annotated[str, Path(max_length=100)], caller: Caller = operate) -> dict[str, bool]:
        """End a silence early."""
        if not operations.unsilence(silence_id, by=caller.name):
            raise HTTPException(404, f'there is no silence "{silence_id}"')
        return {"ended": True}

    return router


_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"description": "there is nothing of that name"}}


def _aware(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise HTTPException(422, "that time cannot be represented in UTC") from error


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
