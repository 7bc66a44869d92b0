"""A message as Slack blocks, within Slack's limits; text of customers never becomes markup, a link or a mention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiltmeter.channels.wording import (
    NAME_LENGTH,
    clean_lines,
    cut,
    headline,
    measured,
    one_line,
    row_line,
    safe_links,
    state_of,
    table_of,
    titled,
)
from tiltmeter.domain.message import NEWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.domain.message import Message, Row

Block = dict[str, Any]

# Slack allows 50 blocks and answers `msg_blocks_too_long` near 13,200 characters (not documented: bolt-js issue 2509).
MOST_BLOCKS = 40
MOST_CHARACTERS = 10_000
WORST_SHOWN = 5
_HEADER, _SECTION, _FIELD, _TEXT, _CONTEXT = 150, 2_900, 900, 1_000, 900
_BARS = 10  # squares of a full bar


def escape(text: str) -> str:
    """The three characters Slack reads as markup; also what keeps `<!channel>` from being a mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fallback_text(message: Message) -> str:
    """What notifications and screen readers show."""
    return escape(headline(message, _TEXT))


def root_blocks(message: Message, *, repeated: bool = False, threaded: bool = True) -> list[Block]:
    """Header, effect, facts, the worst five, what to do, links, footer: in the order of a tired person's questions.

    Args:
        message: what to say.
        repeated: it may stand there already.
        threaded: what is left out of the table stands in the thread; else on the dashboard.
    """
    sign, word = state_of(message)
    content = message.content
    model = f" · {one_line(message.model, NAME_LENGTH)}" if message.model else ""
    again = " (repeated)" if repeated else ""
    title = cut(f"{sign} {word}{model} · {titled(message)}", _HEADER - len(again)) + again
    blocks: list[Block] = [{"type": "header", "text": {"type": "plain_text", "text": title, "emoji": True}}]
    if content.effect:
        blocks.append(_section(f"*{escape(clean_lines(content.effect, _TEXT))}*"))
    blocks += _facts(content.facts.items())
    blocks += _rows(*table_of(content, WORST_SHOWN), where="in the thread" if threaded else "on the dashboard")
    if content.actions:
        steps = "\n".join(f"{n}. {escape(one_line(action, 400))}" for n, action in enumerate(content.actions, 1))
        blocks.append(_section(f"*What to do*\n{steps}"))
    blocks += _links(message)
    if content.footer:
        blocks.append(_context(one_line(content.footer, _CONTEXT)))
    return within_limits(blocks)


def note_blocks(message: Message, *, short: bool) -> list[Block]:
    """A reply in the thread: state, title, news, effect; facts and table too unless the root message shows them."""
    sign, word = state_of(message)
    content = message.content
    blocks = [_section(f"{sign} *{word}* · {escape(one_line(titled(message), _TEXT))}")]
    if short and NEWS in content.facts:
        blocks.append(_section(f"*{NEWS}* {escape(one_line(content.facts[NEWS], _TEXT))}"))
    if content.effect:
        blocks.append(_section(escape(clean_lines(content.effect, _TEXT))))
    if not short:
        blocks += _facts(content.facts.items())
        blocks += _rows(table_of(content, WORST_SHOWN)[0], 0)
        blocks += _links(message)
    if content.footer:
        blocks.append(_context(one_line(content.footer, _CONTEXT)))
    return within_limits(blocks)


def rest_blocks(rows: Sequence[Row], more: int) -> list[Block]:
    """The rows that the root message left out."""
    lines = [f"• {escape(row_line(row))}" for row in rows]
    if more:
        lines.append(f"and {more} more on the dashboard")
    blocks, text = [], ""
    for line in lines:
        if len(text) + len(line) + 1 > _SECTION:
            blocks.append(_section(text))
            text = ""
        text = f"{text}\n{line}" if text else line
    return within_limits([*blocks, _section(text)])


def within_limits(blocks: list[Block]) -> list[Block]:
    """The blocks without those that would break a limit; header and footer stay, the middle is cut from its end."""
    kept = list(blocks)
    while len(kept) > MOST_BLOCKS or (len(kept) > 2 and _characters(kept) > MOST_CHARACTERS):
        del kept[-2]
    return kept


def _characters(blocks: Sequence[Block]) -> int:
    return sum(_block_characters(block) for block in blocks)


def _block_characters(block: Block) -> int:
    texts = [block["text"]] if "text" in block else []
    texts += block.get("fields", []) + block.get("elements", [])
    return sum(len(text["text"]) for text in texts)


def _facts(facts: Any) -> list[Block]:  # noqa: ANN401 - items of a mapping
    # A section holds ten fields; Slack sets them in two columns.
    fields = [
        {
            "type": "mrkdwn",
            "text": f"*{escape(one_line(label, 40))}*\n{cut(escape(one_line(text, _FIELD)), _FIELD)}",
            "verbatim": True,
        }
        for label, text in facts
    ]
    return [{"type": "section", "fields": fields[start : start + 10]} for start in range(0, len(fields), 10)]


def _links(message: Message) -> list[Block]:
    links = [f"<{_address(url)}|{escape(label)}>" for label, url in safe_links(message.content).items()]
    return [_section(" · ".join(links))] if links else []


def _rows(rows: Sequence[Row], left_out: int, *, where: str = "") -> list[Block]:
    if not rows:
        return []
    bars = bar_lengths(rows)
    lines = []
    for row, bar in zip(rows, bars, strict=True):
        drawn = f"`{'█' * bar}{'░' * (_BARS - bar)}` " if bar is not None else "• "
        change = f" · {escape(one_line(row.change, 2 * NAME_LENGTH))}" if row.change else ""
        subject = escape(one_line(row.subject, NAME_LENGTH))
        lines.append(f"{drawn}*{subject}* {escape(measured(row))}{change}")
    if left_out:
        lines.append(f"and {left_out} more {where}")
    return [_section("\n".join(lines))]


def bar_lengths(rows: Sequence[Row], full: int = _BARS) -> list[int | None]:
    """Length of a bar for each row, the largest value of the same measure being full; None where there is no number."""
    numbers = [_number(row.value) for row in rows]
    most: dict[str, float] = {}
    for row, number in zip(rows, numbers, strict=True):
        if number is not None:
            most[row.measure] = max(most.get(row.measure, 0.0), abs(number))
    return [
        None if number is None or not most[row.measure] else max(1, round(full * abs(number) / most[row.measure]))
        for row, number in zip(rows, numbers, strict=True)
    ]


def _number(text: str) -> float | None:
    word = text.strip().split(" ")[0].rstrip("%").replace(",", "").replace("−", "-") if text.strip() else ""
    try:
        number = float(word)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _section(text: str) -> Block:
    # verbatim: Slack must not turn addresses, channel names or user names in customers' text into links.
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, _SECTION), "verbatim": True}}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [{"type": "plain_text", "text": text, "emoji": False}]}


def _address(url: str) -> str:
    return escape(url).replace("|", "%7C").replace("&lt;", "%3C").replace("&gt;", "%3E")
