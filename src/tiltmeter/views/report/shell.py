"""The page around every report: head, colours, layout for screen and paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter import __version__
from tiltmeter.domain.severity import Severity
from tiltmeter.drawing.markup import Markup, element, joined, safe
from tiltmeter.drawing.style import SEVERITY_MARKS, style_sheet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# What a page may load: nothing. Even a hostile name that got through the escaping could fetch or run nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_LAYOUT = """
.tm{font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:var(--tm-text);background:var(--tm-back)}
.tm *{box-sizing:border-box}
body.tm{margin:0 auto;max-width:1120px;padding:28px 24px 48px}
.tm h1{font-size:15px;font-weight:600;color:var(--tm-faint);margin:0 0 14px;overflow-wrap:anywhere}
.tm h2{font-size:16px;margin:34px 0 10px}
.tm h3{font-size:14px;margin:0;overflow-wrap:anywhere}.tm h3.part{margin:22px 0 8px}
.tm .answer{font-size:20px;line-height:1.35;font-weight:600;margin:0 0 18px;padding:4px 0 4px 14px;
border-left:5px solid var(--tm-grid);overflow-wrap:anywhere}
.tm .a2{border-color:#f59e0b}.tm .a3{border-color:#b91c1c}
.tm .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:10px;margin:0 0 8px}
.tm .tile{border:1px solid var(--tm-grid);border-radius:8px;padding:9px 12px;background:var(--tm-card)}
.tm .tile b{display:block;font-size:19px;font-weight:600;line-height:1.3}
.tm .tile span,.tm .faint{color:var(--tm-faint)}
.tm table{border-collapse:collapse;width:100%;font-size:13px}
.tm th{font-weight:600;color:var(--tm-faint);text-align:left;border-bottom:1px solid var(--tm-grid);padding:5px 8px}
.tm td{border-bottom:1px solid var(--tm-grid);padding:6px 8px;vertical-align:middle;overflow-wrap:anywhere}
.tm tr:last-child td{border-bottom:0}
.tm .r{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.tm td.name{font-weight:600;min-width:170px}.tm .k{white-space:nowrap}
.tm a{color:inherit;text-decoration-color:var(--tm-grid);text-underline-offset:3px}
.tm .badge{display:inline-block;white-space:nowrap;border-radius:99px;padding:0 9px;font-size:12px;
border:1px solid var(--tm-grid);color:var(--tm-faint)}
.tm .b2{background:#fdf0d3;border-color:#f59e0b;color:#7a4a00}
.tm .b3{background:#fbe3e3;border-color:#b91c1c;color:#8f1414}
.tm .b1{border-color:#56b4e9}
.tm .cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:12px}
.tm .card{border:1px solid var(--tm-grid);border-radius:8px;padding:12px 14px;background:var(--tm-card);
break-inside:avoid;min-width:0}
.tm .card header{display:flex;justify-content:space-between;gap:10px;align-items:baseline;margin:0 0 2px}
.tm .card p{margin:0 0 8px;color:var(--tm-faint);overflow-wrap:anywhere}
.tm .card svg{width:100%}
.tm .card table{margin-top:8px;font-size:12px}
.tm .card td,.tm .card th{padding:2px 6px 2px 0;border:0}
.tm .card td.r{white-space:normal}.tm .card td:first-child{white-space:nowrap}
.tm .wide{overflow-x:auto}.tm .slim{display:none}
.tm details{margin-top:26px}
.tm details>summary{cursor:pointer;font-weight:600;padding:6px 0}
.tm .box{border:1px solid var(--tm-grid);border-radius:8px;padding:10px 16px;margin-top:30px;font-size:13px;
color:var(--tm-faint);break-inside:avoid}
.tm .box h2{margin:2px 0 6px;color:var(--tm-text);font-size:14px}
.tm .box dl{display:grid;grid-template-columns:150px 1fr;gap:3px 12px;margin:0}
.tm .box dt{color:var(--tm-text)}.tm .box dd{margin:0;overflow-wrap:anywhere}
.tm footer{margin-top:12px;font-size:12px}
.tm .key{display:flex;gap:18px;color:var(--tm-faint);font-size:12px;margin:0 0 10px;align-items:center}
.tm .key i{display:inline-block;width:16px;height:9px;margin-right:6px;background:var(--tm-base)}
.tm .steps svg{display:inline;vertical-align:-2px;margin-right:5px}
.tm .key i.now{height:0;border-top:2px solid var(--tm-now);background:none;vertical-align:middle}
@media(prefers-color-scheme:dark){.tm .b2{background:#3a2c0c;color:#fbd38d}.tm .b3{background:#3d1414;color:#fca5a5}}
.tm td>svg{min-width:72px}
@page{size:A4;margin:14mm}
@media print{body.tm{max-width:none;padding:0;font-size:11px}.tm .answer{font-size:16px}
.tm *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.tm .tiles{grid-template-columns:repeat(auto-fit,minmax(110px,1fr))}.tm .tile b{font-size:14px;white-space:nowrap}
.tm .cards{grid-template-columns:1fr 1fr}.tm table{font-size:10px}.tm tr{break-inside:avoid}
.tm .wide{overflow:visible}.tm td,.tm th{padding-left:5px;padding-right:5px}.tm td.name{min-width:112px}
.tm .whole{break-inside:avoid}.tm h2,.tm h3,.tm .key,.tm summary{break-after:avoid}.tm summary{list-style:none}
.tm details::details-content{content-visibility:visible;display:block;height:auto}
.tm .box dl{grid-template-columns:90px 1fr}
.tm .b2{background:#fdf0d3;color:#7a4a00}.tm .b3{background:#fbe3e3;color:#8f1414}}
@media screen and (max-width:720px){body.tm{padding:16px 12px}.tm .cards{grid-template-columns:1fr}
.tm .tile:last-child:nth-child(odd){grid-column:1/-1}.tm .wide>svg{min-width:680px}
.tm .broad{display:none}.tm .slim{display:block}
.tm .rows,.tm .rows tbody{display:block}.tm .rows thead{display:none}
.tm .rows tr{display:grid;grid-template-columns:minmax(45%,1fr) auto;gap:2px 12px;padding:10px 0;
border-bottom:1px solid var(--tm-grid)}
.tm .rows tr:last-child{border-bottom:0}.tm .rows td{border:0;padding:0;text-align:left;white-space:normal}
.tm .rows td.name{font-size:14px;min-width:0}
.tm .rows td.full{grid-column:1/-1}.tm .rows td.full>svg{width:100%;height:8px;margin:2px 0}
.tm .rows td.side{justify-self:end}.tm .rows td:empty{display:none}
.tm .rows td[data-t]::before{content:attr(data-t) " ";color:var(--tm-faint)}
.tm .box dl{grid-template-columns:1fr}.tm .box dd{margin-bottom:6px}}
"""


def page(title: str, *body: object) -> str:
    """A whole document.

    Args:
        title: of the window; hostile names are escaped.
        body: markup, or text that is escaped.
    """
    style = Markup(f"<style>{style_sheet()}{_LAYOUT}</style>")
    head = joined(
        [
            Markup('<meta charset="utf-8"/>'),
            Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"/>'),
            Markup('<meta name="viewport" content="width=device-width,initial-scale=1"/>'),
            Markup('<meta name="color-scheme" content="light dark"/>'),
            element("title", title),
            style,
        ]
    )
    made = element("footer", f"Made with Tiltmeter {__version__}", class_="faint")
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body class="tm">{joined(body)}{made}</body></html>\n'


# Notebooks lay tables out in equal columns, set them to the right, stripe them and colour their words for the theme of
# the notebook, which need not be the reader's system's. Their rules weigh more than one class.
_AMONG_OTHERS = """
.tm.tm.tm table{table-layout:auto;margin:0;color:inherit}
.tm.tm.tm tbody tr{background:none;color:inherit}
.tm.tm.tm th,.tm.tm.tm td{text-align:left;max-width:none}
.tm.tm.tm h2{font-size:16px;font-weight:600;color:inherit}
.tm.tm.tm p.faint{margin:10px 0 0}
@media screen and (min-width:721px){.tm.tm.tm .r{text-align:right}}
"""


def fragment(*body: object) -> str:
    """Part of somebody else's page, such as a notebook: colours and layout hold for it alone."""
    style = Markup(f"<style>{style_sheet(scope='.tm')}{_LAYOUT}{_AMONG_OTHERS}</style>")
    return element("div", style, body, class_="tm", style="padding:12px 14px")


BROAD, SLIM = 1060, 360
"""Points of a picture on a desk and on paper, and on a phone."""


def fitting(draw: Callable[[int], Markup]) -> Markup:
    """A picture drawn for a desk and once more for a phone: shrunk or cut, its words could not be read there.

    Args:
        draw: makes it, given the width in points.
    """
    return joined([element("div", draw(BROAD), class_="broad"), element("div", draw(SLIM), class_="slim")])


def answer(sentence: str, severity: Severity) -> Markup:
    """The sentence that stands first."""
    return element("p", f"{sentence}.", class_=f"answer a{int(severity)}")


def badge(severity: Severity) -> Markup:
    """A severity as colour, mark and word."""
    word = "quiet" if severity is Severity.NONE else severity.word
    return element("span", f"{SEVERITY_MARKS[severity]} {word}", class_=f"badge b{int(severity)}")


def tiles(facts: Iterable[tuple[str, str]]) -> Markup:
    """Numbers that answer at a glance: (value, what it is)."""
    return element(
        "div", [element("div", element("b", value), element("span", name), class_="tile") for value, name in facts],
        class_="tiles",
    )  # fmt: skip


_MOST_UNCUT = 12
"""Rows of a table that stays on one sheet of paper; a longer one goes on with its head repeated."""


def grid(
    titles: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = (), full: Sequence[str] = ()
) -> Markup:
    """A table; on a narrow screen each row becomes a small card that names its cells.

    Args:
        titles: of the columns; the first column holds names, the second stands beside them on a narrow screen.
        rows: cells.
        numbers: titles of the columns that stand at the right.
        full: titles of the columns that take a line of their own on a narrow screen and explain themselves.
    """
    sides = ["r" if title in numbers else None for title in titles]
    head = [element("th", title, class_=side) for title, side in zip(titles, sides, strict=True)]
    kinds = [_cell_kind(position, title, numbers, full) for position, title in enumerate(titles)]
    body = [
        element(
            "tr",
            [
                element("td", cell, class_=kind or None, data_t=title if named else None)
                for cell, title, (kind, named) in zip(row, titles, kinds, strict=True)
            ],
        )
        for row in rows
    ]
    return element(
        "div",
        element("table", element("thead", element("tr", head)), element("tbody", body), class_="rows"),
        class_="wide whole" if len(body) <= _MOST_UNCUT else "wide",
    )


def _cell_kind(position: int, title: str, numbers: Sequence[str], full: Sequence[str]) -> tuple[str, bool]:
    """Class of a column's cells, and whether a narrow screen names them."""
    if position == 0:
        return "name", False
    classes = ["r"] if title in numbers else []
    if position == 1:
        classes.append("side")
    elif title in full:
        classes.append("full")
    # A word beside the name explains itself, a number does not.
    return " ".join(classes), title not in full and (position > 1 or title in numbers)


def box(title: str, facts: Iterable[tuple[str, object]]) -> Markup:
    """A frame with terms and what they mean."""
    inside = [joined([element("dt", name), element("dd", words)]) for name, words in facts]
    return element("section", element("h2", title), element("dl", inside), class_="box")


def legend(reference: str, current: str) -> Markup:
    """What grey and blue are."""
    return element(
        "p",
        element("span", Markup("<i></i>"), safe(reference)),
        element("span", Markup('<i class="now"></i>'), safe(current)),
        class_="key",
    )
