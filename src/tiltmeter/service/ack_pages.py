"""The page behind a signed link: says what is wrong, asks for a name, and acknowledges only on a click."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Body, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from tiltmeter.domain.alert import IncidentState
from tiltmeter.domain.errors import UsageError
from tiltmeter.service.ack_links import PATH

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.alert import Incident
    from tiltmeter.ports import World
    from tiltmeter.service.ack_links import AckLinks

LONGEST_FORM = 8_192

Token = Annotated[str, Query(max_length=300)]

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
}
_COLOURS = {"critical": "#b42318", "warning": "#b54708", "info": "#175cd3", "none": "#475467"}


class LinkAnswer(BaseModel):
    """What a person says on the page of a link."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=300)
    by: str = Field(min_length=1, max_length=100)
    note: str = Field(default="", max_length=1000)


def ack_routes(world: World, links: AckLinks, acknowledge: Callable[..., Incident]) -> APIRouter:
    """The page, and the same for programs that show a page of their own.

    Args:
        world: incidents and time zone.
        links: reads tokens.
        acknowledge: takes the incident's id, `by` and `note`.
    """
    router = APIRouter(tags=["acknowledge"])

    def asked(token: str) -> Incident:
        found = world.state.incident(links.incident_of(token))
        if found is None:
            raise UsageError("this incident is gone", hint="open the dashboard")
        return found

    @router.get(PATH, response_class=HTMLResponse, responses=_REFUSED)
    def page(t: Token = "") -> HTMLResponse:
        """Ask; opening this page changes nothing."""
        try:
            return _answer(_question(asked(t), t, world.zone))
        except UsageError as error:
            return _answer(_refusal(error), status=403)

    @router.post(PATH, response_class=HTMLResponse, responses=_REFUSED)
    def confirm(said: Annotated[dict[str, str], Depends(_form)]) -> HTMLResponse:
        """Acknowledge; the form of the page."""
        try:
            incident = asked(said["t"][:300])
            if not said["by"]:
                return _answer(_question(incident, said["t"], world.zone, remark="Please say who you are."), status=422)
            changed = acknowledge(incident.id, by=said["by"][:100], note=said["note"][:1000])
        except UsageError as error:
            return _answer(_refusal(error), status=403)
        return _answer(_thanks(changed, world.zone))

    @router.get("/api/v1/ack", responses=_REFUSED)
    def facts(t: Token = "") -> dict[str, Any]:
        """What the link is about."""
        return _facts(_found(asked, t))

    @router.post("/api/v1/ack", responses=_REFUSED)
    def answer(body: Annotated[LinkAnswer, Body()]) -> dict[str, Any]:
        """Acknowledge by a link's token; no key is needed."""
        incident = _found(asked, body.token)
        return _facts(acknowledge(incident.id, by=body.by, note=body.note))

    return router


async def _form(request: Request) -> dict[str, str]:
    """The form as browsers send it; a reader of forms would be one more package for three fields."""
    form = parse_qs((await request.body())[:LONGEST_FORM].decode("utf-8", "replace"))
    return {name: form.get(name, [""])[0].strip() for name in ("t", "by", "note")}


_REFUSED: dict[int | str, dict[str, Any]] = {403: {"description": "the link is forged, changed or too old"}}


def _found(asked: Callable[[str], Incident], token: str) -> Incident:
    try:
        return asked(token)
    except UsageError as error:
        raise HTTPException(403, str(error)) from error


def _facts(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "model": incident.model,
        "title": incident.title,
        "severity": incident.severity.word,
        "is_open": incident.state is IncidentState.OPEN,
        "acknowledged_by": incident.acknowledged_by,
        "note": incident.note,
    }


def _question(incident: Incident, token: str, zone: ZoneInfo, *, remark: str = "") -> str:
    standing = _standing(incident, zone)
    if standing:
        return _head(incident, zone) + f"<p>{standing}</p>"
    warning = f'<p role="alert" style="color:#b42318">{escape(remark)}</p>' if remark else ""
    field = "width:100%;box-sizing:border-box;padding:8px;margin:2px 0 12px;font:inherit"
    return (
        f"{_head(incident, zone)}{warning}"
        f'<form method="post" action="{PATH}"><input type="hidden" name="t" value="{escape(token)}">'
        f'<label>Your name<input name="by" required maxlength="100" autocomplete="name" style="{field}"></label>'
        f'<label>What you are doing about it (optional)<input name="note" maxlength="1000" style="{field}"></label>'
        '<button style="font:inherit;font-weight:600;padding:10px 20px;background:#175cd3;color:#fff;border:0">'
        "I take care of it</button></form>"
        '<p style="color:#475467">Everybody who heard of it will see your name; steps and reminders stop. '
        "If it gets worse, it asks again.</p>"
    )


def _standing(incident: Incident, zone: ZoneInfo) -> str:
    """Why there is nothing to do, empty when there is."""
    if incident.state is not IncidentState.OPEN:
        return "It is over: there is nothing left to take care of."
    if not incident.acknowledged_by:
        return ""
    at = f", {incident.acknowledged_at.astimezone(zone):%a %d %b %H:%M %Z}" if incident.acknowledged_at else ""
    note = f": {escape(incident.note)}" if incident.note else ""
    return f"<b>{escape(incident.acknowledged_by)}</b> takes care of it{at}{note}."


def _thanks(incident: Incident, zone: ZoneInfo) -> str:
    return f"{_head(incident, zone)}<p>{_standing(incident, zone)}</p>"


def _refusal(error: UsageError) -> str:
    what, hint = escape(error.what.capitalize()), escape(error.hint or "")
    return f"<h1>Nothing was changed</h1><p>{what}. To acknowledge, {hint}.</p>"


def _head(incident: Incident, zone: ZoneInfo) -> str:
    is_open = incident.state is IncidentState.OPEN
    word = incident.severity.word if is_open else "resolved"
    colour = _COLOURS[incident.severity.word] if is_open else "#067647"
    cause = f"<p><b>Likely cause</b> {escape(incident.cause)}</p>" if incident.cause else ""
    return (
        f'<p style="margin:0;font-weight:600;color:{colour}">{word.upper()} · {escape(incident.model)}</p>'
        f"<h1>{escape(incident.title)}</h1>"
        f'<p style="color:#475467">since {incident.opened_at.astimezone(zone):%a %d %b %Y %H:%M %Z} · '
        f"{escape(incident.id)}</p>{cause}"
    )


def _answer(body: str, *, status: int = 200) -> HTMLResponse:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="robots" content="noindex">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Tiltmeter: acknowledge</title>'
        "<style>h1{font-size:20px;line-height:1.3;margin:4px 0 8px}</style></head>"
        '<body style="margin:0;padding:16px;background:#f2f4f7;color:#101828;'
        'font:16px/1.5 -apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif">'
        f'<main style="max-width:560px;margin:24px auto;background:#fff;padding:24px">{body}</main></body></html>\n'
    )
    return HTMLResponse(page, status_code=status, headers=_HEADERS)
