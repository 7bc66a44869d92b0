"""Pictures over time: sparkline, timeline with thresholds, heatmap of PSI by feature and window, bars by week."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from tiltmeter.drawing.markup import Markup, coordinate, element, empty, safe
from tiltmeter.drawing.pictures import svg
from tiltmeter.drawing.style import NOT_JUDGED, STEP_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LABEL = 150
_CELL_HEIGHT = 18
_NAME_POINTS = 6.0
"""Width of a letter below a picture."""

_LEAST_CELL, _MOST_CELL = 3.0, 34.0


def _points(values: Sequence[float | None], x: Callable[[int], float], y: Callable[[float], float]) -> str:
    """A path through the values that broke where one is missing; a lonely value becomes a short stroke."""
    parts = []
    for present, group in groupby(enumerate(values), key=lambda pair: pair[1] is not None):
        if not present:
            continue
        places = [(x(position), y(value)) for position, value in group if value is not None]
        if len(places) == 1:
            places = [(places[0][0] - 1.5, places[0][1]), (places[0][0] + 1.5, places[0][1])]
        parts.append("M" + "L".join(f"{coordinate(at)} {coordinate(height)}" for at, height in places))
    return "".join(parts)


def _top(values: Sequence[float | None], limits: Sequence[float] = ()) -> float:
    return max([*(value for value in values if value is not None), *limits], default=0.0) or 1.0


def sparkline(values: Sequence[float | None], *, label: str, width: int = 120, height: int = 24) -> Markup:
    """A small line without axes; a gap where a value is missing.

    Args:
        values: in order of time, None where there is none.
        label: what the picture shows, in words.
        width: in points.
        height: in points.
    """
    top = _top(values)
    step = (width - 4) / max(1, len(values) - 1)
    path = _points(values, lambda i: 2 + i * step, lambda v: height - 2 - (height - 4) * max(0.0, v) / top)
    return svg(empty("path", class_="n", d=path), width=width, height=height, label=label)


def timeline(
    values: Sequence[float | None],
    names: Sequence[str],
    *,
    label: str,
    limits: Mapping[str, float] | None = None,
    width: int = 760,
    height: int = 150,
    write: Callable[[float], str] = "{:.3g}".format,
) -> Markup:
    """A line over windows with its thresholds.

    Args:
        values: one a window, None where nothing was judged.
        names: of the windows; a few stand under the picture.
        label: what the picture shows, in words.
        limits: word -> threshold, drawn dashed.
        width: in points.
        height: in points.
        write: how values are written.
    """
    limits = limits or {}
    top = _top(values, list(limits.values())) * 1.05
    left, right, floor = 44.0, width - 8.0, height - 18.0
    step = (right - left) / max(1, len(values) - 1)

    def x(position: int) -> float:
        return left + position * step if len(values) > 1 else (left + right) / 2

    def y(value: float) -> float:
        return floor - (floor - 8.0) * max(0.0, value) / top

    lines = [
        [
            empty(
                "path",
                class_="c" if word == "critical" else "w",
                d=f"M{coordinate(left)} {coordinate(y(limit))}H{coordinate(right)}",
            ),
            element("text", f"{word} {write(limit)}", x=right, y=y(limit) - 3, text_anchor="end"),
        ]
        for word, limit in limits.items()
    ]
    return svg(
        empty("path", class_="g", d=f"M{coordinate(left)} {coordinate(floor)}H{coordinate(right)}"),
        lines,
        empty("path", class_="n", d=_points(values, x, y)),
        [_dot(name, value, x(i), y, write) for i, (name, value) in enumerate(zip(names, values, strict=True))],
        element("text", write(top / 1.05), x=left - 5, y=16, text_anchor="end"),
        element("text", "0", x=left - 5, y=floor, text_anchor="end"),
        _names_below(names, x, float(height) - 4.0),
        width=width,
        height=height,
        label=label,
    )


def _dot(
    name: str, value: float | None, x: float, y: Callable[[float], float], write: Callable[[float], str]
) -> Markup | None:
    if value is None:
        return None
    title = element("title", f"{name}: {write(value)}")
    return element("circle", title, class_="f", cx=x, cy=y(value), r=2.5)


def _names_below(
    names: Sequence[str], x: Callable[[int], float], y: float, *, is_centred: bool = False
) -> list[Markup]:
    """First, last and about four names between them, as many as there is room for; the outer ones within the ends."""
    if not names:
        return []
    last = len(names) - 1
    # The outer names lie within the ends, so that they need half as much again.
    room = (1.0 if is_centred else 1.5) * (_NAME_POINTS * max(map(len, names)) + 8)
    fitting = max(1, min(6, int((x(last) - x(0)) / room) + is_centred))
    every = max(1, -(-len(names) // fitting))
    shown = list(range(0, len(names), every))
    if shown[-1] != last:
        # The one before the last gives way where the two would touch.
        shown = [*(p for p in shown if last - p >= every / 2 and x(last) - x(p) >= room), last]
    anchors = {0: "start", last: "end"} if last and not is_centred else {}
    return [
        element("text", names[position], x=x(position), y=y, text_anchor=anchors.get(position, "middle"))
        for position in shown
    ]


def heatmap(
    rows: Mapping[str, Sequence[tuple[float | None, str]]],
    windows: Sequence[str],
    *,
    label: str,
    write: Callable[[str], str] = str,
    width: int = 760,
    explains: bool = True,
) -> Markup:
    """PSI by feature and window, coloured by how it reads; empty where nothing was judged.

    Args:
        rows: per window PSI and its step (one of `STEP_CLASSES`) by feature, features in the order to draw.
        windows: names of the windows.
        label: what the picture shows, in words.
        write: how names are shortened.
        width: in points.
        explains: whether each cell says its number when it is pointed at.
    """
    cell = max(_LEAST_CELL, min(_MOST_CELL, (width - _LABEL) / max(1, len(windows))))
    lines = [
        _heat_row(name, write(name), values, windows if explains else None, top=position * _CELL_HEIGHT, cell=cell)
        for position, (name, values) in enumerate(rows.items())
    ]
    bottom = len(rows) * _CELL_HEIGHT
    below = _names_below(
        windows, lambda i: _LABEL + (i + (0.5 if 0 < i < len(windows) - 1 else i > 0)) * cell, bottom + 13
    )
    full = max(_LABEL + cell * len(windows), _LABEL + 130.0)
    return svg(lines, below, width=full, height=bottom + 18, label=label)


def _heat_row(
    name: str,
    shown: str,
    values: Sequence[tuple[float | None, str]],
    windows: Sequence[str] | None,
    *,
    top: int,
    cell: float,
) -> Markup:
    cells = "".join(
        _heat_cell(f"{name}, {windows[position]}" if windows else "", value, _LABEL + position * cell, top, cell)
        for position, value in enumerate(values)
    )
    room = int((_LABEL - 6) / _NAME_POINTS)
    shown = shown if len(shown) <= room else f"{shown[: room - 1]}…"
    words = element("text", element("title", name), shown, class_="t", x=_LABEL - 6, y=top + 13, text_anchor="end")
    return Markup(words + cells)


def _heat_cell(subject: str, value: tuple[float | None, str], x: float, y: int, cell: float) -> str:
    gap = 1.0 if cell > 6 else 0.0
    psi, step = value
    words = step if psi is None or step == NOT_JUDGED else f"PSI {psi:.3g}, {step}"
    # Written by hand: thousands of cells, and `element` would take most of a page's time.
    return (
        f'<rect class="{STEP_CLASSES[step]}" x="{coordinate(x)}" y="{y + 1}" width="{coordinate(cell - gap)}" '
        f'height="{_CELL_HEIGHT - 2}"' + (f"><title>{safe(f'{subject}: {words}')}</title></rect>" if subject else "/>")
    )


@dataclass(frozen=True, slots=True)
class Bar:
    """A share of one week with its interval.

    Args:
        name: of the week, below it.
        value: in [0, 1]; None where it is not known.
        lower: end of its interval.
        upper: likewise.
        words: what is said of it when it is pointed at.
        rows: what it is a share of, written below where there is room; None leaves it out.
        is_open: not known yet: the week is hatched.
    """

    name: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    words: str = ""
    rows: int | None = None
    is_open: bool = False


def week_bars(bars: Sequence[Bar], *, label: str, width: int = 760, height: int = 142) -> Markup:
    """Shares by week as bars with their intervals; weeks that are not known yet are hatched.

    Args:
        bars: in order of time.
        label: what the picture shows, in words.
        width: in points.
        height: in points.
    """
    known = [bar.upper if bar.upper is not None else bar.value for bar in bars if bar.value is not None]
    top = min(1.0, 1.1 * max((one for one in known if one is not None), default=1.0)) or 1.0
    left, right, ceiling, floor = 44.0, width - 14.0, 14.0, height - 30.0
    slot = (right - left) / max(1, len(bars))

    def y(share: float) -> float:
        return floor - (floor - ceiling) * max(0.0, min(1.0, share / top))

    def middle(position: int) -> float:
        return left + (position + 0.5) * slot

    half = min(_MOST_HALF, 0.36 * slot)
    drawn = [_bar(bar, middle(place), half, y, (ceiling, floor)) for place, bar in enumerate(bars)]
    return svg(
        empty("path", class_="g", d=f"M{coordinate(left)} {coordinate(floor)}H{coordinate(right)}"),
        drawn,
        element("text", f"{top * 100:.0f} %", x=left - 5, y=ceiling + 6, text_anchor="end"),
        element("text", "0", x=left - 5, y=floor, text_anchor="end"),
        _names_below([bar.name for bar in bars], middle, height - 16.0, is_centred=True),
        [_rows_below(bar, middle(place), height - 3.0) for place, bar in enumerate(bars) if slot >= _LEAST_SLOT],
        width=width,
        height=height,
        label=label,
    )


def _rows_below(bar: Bar, x: float, y: float) -> Markup | None:
    words = "maturing" if bar.is_open else "" if bar.rows is None else f"n = {bar.rows:,}"
    return element("text", words, x=x, y=y, text_anchor="middle") if words else None


def _bar(bar: Bar, x: float, half: float, y: Callable[[float], float], ends: tuple[float, float]) -> Markup | None:
    title = element("title", f"{bar.name}: {bar.words}")
    ceiling, floor = ends
    if bar.is_open:
        return element("path", title, class_="hatch", d=_hatching(x - half, ceiling, 2 * half, floor - ceiling))
    if bar.value is None:
        return None
    height = y(bar.value)
    pieces = [element("rect", title, class_="f", x=x - half, y=height, width=2 * half, height=max(0.5, floor - height))]
    if bar.lower is not None and bar.upper is not None:
        stroke = f"M{coordinate(x)} {coordinate(y(bar.lower))}V{coordinate(y(bar.upper))}"
        pieces.append(empty("path", class_="i", d=stroke))
    above = y(bar.upper if bar.upper is not None else bar.value) - 3
    if half >= _LEAST_HALF:
        pieces.append(element("text", f"{bar.value * 100:.0f} %", x=x, y=above, text_anchor="middle"))
    return Markup("".join(pieces))


_LEAST_SLOT = 62.0
"""Width of a week from which its number of rows fits below it."""

_MOST_HALF = 36.0
_LEAST_HALF = 11.0
"""Half a bar's width from which its number fits above it."""

_BETWEEN = 6.0
"""Points between two strokes of a hatching."""


def _hatching(left: float, top: float, width: float, height: float) -> str:
    """Parallel strokes from lower left to upper right within a box, and the box around them."""
    strokes = [f"M{coordinate(left)} {coordinate(top)}h{coordinate(width)}v{coordinate(height)}h{coordinate(-width)}z"]
    along = _BETWEEN
    while along < width + height:
        begin = (left + max(0.0, along - height), top + min(along, height))
        end = (left + min(along, width), top + max(0.0, along - width))
        strokes.append(f"M{coordinate(begin[0])} {coordinate(begin[1])}L{coordinate(end[0])} {coordinate(end[1])}")
        along += _BETWEEN
    return "".join(strokes)
