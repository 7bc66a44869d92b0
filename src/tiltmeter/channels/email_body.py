"""A message as mail: plain text that is complete by itself, and HTML with a small table of bars."""

from __future__ import annotations

import re
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from typing import TYPE_CHECKING

from tiltmeter.channels.slack_blocks import bar_lengths
from tiltmeter.channels.wording import (
    NAME_LENGTH,
    ROWS_SHOWN,
    clean_lines,
    headline,
    measured,
    one_line,
    plain_text,
    safe_links,
    state_of,
    table_of,
    titled,
)
from tiltmeter.domain.message import ACKNOWLEDGE, MessageKind
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiltmeter.domain.message import Content, Message, Row

SUBJECT_LENGTH = 180  # longer subjects are cut by most readers; a line of a header holds 998 octets
# Folded at 78 columns, a long subject would begin on a line of its own, which some readers show as a leading blank.
# Seven bits pass every server.
_POLICY = policy.SMTP.clone(max_line_length=900, cte_type="7bit")
_BAR_PX = 120
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_COLOURS = {
    Severity.CRITICAL: "#b42318",
    Severity.WARNING: "#b54708",
    Severity.INFO: "#175cd3",
    Severity.NONE: "#475467",
}
_RESOLVED_COLOUR = "#067647"


def message_id(message: Message, domain: str) -> str:
    """The same id for every try of the same message, so that a repeat is recognised as the same mail."""
    of = message.incident or message.delivery_id
    return f"<{_token(of)}.{message.sequence}.{_token(message.channel)}@{_token(domain, dots=True)}>"


def _token(text: str, *, dots: bool = False) -> str:
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", text) if dots else _UNSAFE.sub("-", text)
    return safe[:120] or "none"


def subject_of(message: Message) -> str:
    """`[CRITICAL] lead-scoring: 30 features drifted, worst lead_source PSI 0.61`."""
    _, word = state_of(message)
    model = f"{one_line(message.model, NAME_LENGTH)}: " if message.model else ""
    return one_line(f"[{word}] {model}{titled(message)}", SUBJECT_LENGTH)


def build_mail(message: Message, *, sender: str, to: Sequence[str], domain: str) -> tuple[EmailMessage, dict[str, str]]:
    """The mail, and the thread that later mails of the incident hang on.

    Raises:
        ValueError: an address holds a line break.
    """
    own_id = message_id(message, domain)
    thread: Mapping[str, str] = message.thread
    root, subject = thread.get("root", ""), thread.get("subject", "") or subject_of(message)
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = f"Re: {subject}" if root else subject
    mail["Date"] = format_datetime(message.created_at)
    mail["Message-ID"] = own_id
    if root:
        mail["In-Reply-To"] = root
        mail["References"] = root
    mail["Auto-Submitted"] = "auto-generated"
    mail["List-Id"] = f"Tiltmeter alerts <alerts.{_token(domain, dots=True)}>"
    if message.incident:
        mail["X-Tiltmeter-Incident"] = _token(message.incident)
    if message.severity is Severity.CRITICAL and message.kind is not MessageKind.RESOLVED:
        mail["X-Priority"] = "1"
    mail.set_content(plain_text(message))
    mail.add_alternative(html_text(message), subtype="html")
    if message.content.page:
        mail.add_attachment(message.content.page, subtype="html", filename="report.html")
    return mail, {"root": root or own_id, "subject": subject}


def html_text(message: Message) -> str:
    """One self-contained page: inline style, no picture from outside, no script; every text escaped."""
    content = message.content
    colour = _RESOLVED_COLOUR if message.kind is MessageKind.RESOLVED else _COLOURS[message.severity]
    sign, word = state_of(message)
    model = f" · {escape(one_line(message.model, NAME_LENGTH))}" if message.model else ""
    parts = [
        f'<p style="margin:0 0 4px;font-weight:600;color:{colour}">{sign} {word}{model}</p>',
        f'<h1 style="font-size:20px;line-height:1.3;margin:0 0 12px">{escape(titled(message))}</h1>',
    ]
    if content.effect:
        effect = escape(clean_lines(content.effect)).replace("\n", "<br>")
        parts.append(f'<p style="font-size:16px;margin:0 0 16px">{effect}</p>')
    parts += [_facts(content), _table(*table_of(content, ROWS_SHOWN))]
    if content.actions:
        items = "".join(f"<li>{escape(one_line(action))}</li>" for action in content.actions)
        parts.append(
            '<h2 style="font-size:16px;margin:16px 0 4px">What to do</h2>'
            f'<ol style="margin:0 0 16px;padding-left:20px">{items}</ol>'
        )
    parts += [_links(content), _footer(content)]
    title = escape(headline(message))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title></head>'
        '<body style="margin:0;padding:16px;background:#f2f4f7;color:#101828;'
        'font:14px/1.5 -apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif">'
        f'<div style="max-width:640px;margin:0 auto;background:#ffffff;border-top:4px solid {colour};padding:20px">'
        f"{''.join(part for part in parts if part)}</div></body></html>\n"
    )


def _facts(content: Content) -> str:
    if not content.facts:
        return ""
    cell = "padding:3px 12px 3px 0;vertical-align:top"
    rows = "".join(
        f'<tr><td style="{cell};color:#475467;white-space:nowrap">{escape(one_line(label, 40))}</td>'
        f'<td style="{cell}">{escape(one_line(text))}</td></tr>'
        for label, text in content.facts.items()
    )
    return f'<table role="presentation" style="border-collapse:collapse;margin:0 0 16px">{rows}</table>'


def _table(rows: Sequence[Row], left_out: int) -> str:
    if not rows:
        return ""
    bars = bar_lengths(rows, _BAR_PX)
    lines = "".join(_row(row, bar) for row, bar in zip(rows, bars, strict=True))
    more = f'<p style="margin:4px 0 16px;color:#475467">and {left_out} more on the dashboard</p>' if left_out else ""
    return f'<table style="border-collapse:collapse;width:100%;margin:0 0 4px">{lines}</table>{more}'


def _row(row: Row, bar: int | None) -> str:
    cell = "padding:5px 10px 5px 0;border-top:1px solid #eaecf0;vertical-align:top"
    subject = escape(one_line(row.subject, NAME_LENGTH))
    link = row.link if row.link.startswith(("https://", "http://")) else ""
    named = f'<a href="{escape(link)}" style="color:#175cd3">{subject}</a>' if link else subject
    drawn = (
        f'<div style="background:#eaecf0;width:{_BAR_PX}px;height:8px;margin-top:6px">'
        f'<div style="background:{_COLOURS[row.severity]};width:{bar}px;height:8px"></div></div>'
        if bar is not None
        else ""
    )
    return (
        f'<tr><td style="{cell};font-weight:600">{named}</td><td style="{cell};width:{_BAR_PX}px">{drawn}</td>'
        f'<td style="{cell}">{_measured(row)}</td>'
        f'<td style="{cell};color:#475467">{escape(one_line(row.change, 2 * NAME_LENGTH))}</td></tr>'
    )


def _measured(row: Row) -> str:
    if not row.value:
        return escape(measured(row))
    measure, value = (escape(one_line(text, 40)) for text in (row.measure, row.value))
    return f'<span style="white-space:nowrap">{measure} <b>{value}</b></span>'


def _links(content: Content) -> str:
    """The way to acknowledge as a button, the others beside it."""
    found = safe_links(content)
    asked = found.pop(ACKNOWLEDGE, "")
    button = (
        f'<a href="{escape(asked)}" style="display:inline-block;background:#175cd3;color:#ffffff;font-weight:600;'
        f'padding:8px 16px;text-decoration:none">{ACKNOWLEDGE}</a> &nbsp; '
        if asked
        else ""
    )
    links = button + " &nbsp; ".join(
        f'<a href="{escape(url)}" style="color:#175cd3">{escape(label)}</a>' for label, url in found.items()
    )
    return f'<p style="margin:0 0 16px">{links}</p>' if links else ""


def _footer(content: Content) -> str:
    if not content.footer:
        return ""
    return (
        '<p style="margin:16px 0 0;padding-top:12px;border-top:1px solid #eaecf0;font-size:12px;color:#475467">'
        f"{escape(one_line(content.footer))}</p>"
    )
