"""Pictures of one feature: overlay histogram, paired level bars, PSI bar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiltmeter.drawing.markup import Markup, coordinate, element, empty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np

    from tiltmeter.domain.comparison import Cell
    from tiltmeter.domain.severity import Severity
    from tiltmeter.drawing.histogram import Histogram

WIDTH = 330
_HEIGHT = 120
_LEFT = 42
_BOTTOM = 16
_TOP = 6
_CHARACTER = 6.0
"""Width of a letter below a picture."""

_ROW = 17
_LABEL = 112
_MOST_LEVELS = 12


def svg(*children: object, width: float, height: float, label: str, stretches: bool = False) -> Markup:
    """A picture with a text for those who cannot see it.

    Args:
        children: what is drawn.
        width: in points.
        height: in points.
        label: the text.
        stretches: whether a style may change width and height apart, as for a plain bar.
    """
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {coordinate(width)} {coordinate(height)}",
        width=width,
        height=height,
        preserveAspectRatio="none" if stretches else None,
        role="img",
        aria_label=label,
    )


def overlay_histogram(histogram: Histogram, *, label: str, write: Callable[[float], str]) -> Markup:
    """Baseline as a filled grey shape, current as a blue step line.

    Args:
        histogram: two profiles, baseline first.
        label: what the picture shows, in words.
        write: how values of the axis are written.
    """
    top = max(float(histogram.shares.max()), 1e-12)
    plot_height = _HEIGHT - _BOTTOM - _TOP
    left, right = float(_LEFT), float(WIDTH - 4)

    def y(share: float) -> float:
        return _TOP + plot_height * (1 - share / top)

    start, floor = coordinate(left), coordinate(y(0.0))
    filled = f"M{start} {floor}{_steps(histogram.shares[0], left, right, y)}V{floor}Z"
    line = f"M{start} {floor}{_steps(histogram.shares[1], left, right, y)}V{floor}"
    labels = _axis(histogram, left, right, write)
    return svg(
        empty("path", class_="b", d=filled),
        empty("path", class_="g", d=f"M{coordinate(left)} {floor}H{coordinate(right)}"),
        empty("path", class_="n", d=line),
        element("text", f"{top * 100:.0f} %", x=left - 4, y=_TOP + 8, text_anchor="end"),
        element("text", "0", x=left - 4, y=y(0.0), text_anchor="end"),
        labels,
        width=WIDTH,
        height=_HEIGHT,
        label=label,
    )


def _axis(histogram: Histogram, left: float, right: float, write: Callable[[float], str]) -> list[Markup]:
    """Values under both ends and the middle; under the middle of the outer bars where these stand for one value."""
    half = 0.5 / len(histogram.shares[0]) if histogram.centred else 0.0
    inset, value_inset = half * (right - left), half * (histogram.high - histogram.low)
    places = [
        (histogram.low + value_inset, left + inset, "middle" if inset > 12 else "start"),
        (histogram.high - value_inset, right - inset, "middle" if inset > 12 else "end"),
    ]
    words = [(write(value), x, anchor) for value, x, anchor in places]
    middle = (left + right) / 2
    if histogram.is_logarithmic:
        words.append((f"{write(math.sqrt(histogram.low * histogram.high))} · log scale", middle, "middle"))
    elif not histogram.centred:
        word = write((histogram.low + histogram.high) / 2)
        # Dates are long: the middle one gives way where the three would touch.
        if _CHARACTER * (len(word) + sum(len(text) for text, _, _ in words)) + 16 <= right - left:
            words.append((word, middle, "middle"))
    return [element("text", text, x=float(x), y=_HEIGHT - 3, text_anchor=anchor) for text, x, anchor in words]


def _steps(shares: np.ndarray, left: float, right: float, y: Callable[[float], float]) -> str:
    """The steps of a path over bars of equal width, from wherever it stands at the left end."""
    width = (right - left) / len(shares)
    return "".join(
        f"V{coordinate(y(share))}H{coordinate(left + (position + 1) * width)}"
        for position, share in enumerate(shares.tolist())
    )


def level_bars(cells: Sequence[Cell], *, label: str, write: Callable[[str], str], most: int = _MOST_LEVELS) -> Markup:
    """Shares of levels side by side: grey above, blue below.

    Args:
        cells: comparison cells, largest first.
        label: what the picture shows, in words.
        write: how names are shortened.
        most: cells drawn; the rest is counted in the last line.
    """
    totals = sum(cell.reference for cell in cells) or 1, sum(cell.current for cell in cells) or 1
    shown = list(cells[:most])
    shares = [(cell.reference / totals[0], cell.current / totals[1]) for cell in shown]
    top = max((share for pair in shares for share in pair), default=0.0) or 1.0
    room = WIDTH - _LABEL - 84
    rows = [
        _level_row(write(cell.name), cell.name, pair, position * _ROW + 2, room / top)
        for position, (cell, pair) in enumerate(zip(shown, shares, strict=True))
    ]
    hidden = len(cells) - len(shown)
    height = len(rows) * _ROW + 4
    if hidden > 0:
        rows.append(element("text", f"and {hidden} more", x=_LABEL, y=height + 10))
        height += _ROW
    return svg(rows, width=WIDTH, height=max(height, _ROW), label=label)


def _level_row(name: str, full: str, shares: tuple[float, float], y: float, scale: float) -> Markup:
    before, after = shares
    words = f"{_percent(before)} → {_percent(after)}"
    return element(
        "g",
        element("title", f"{full}: {words}"),
        element("text", name, class_="t", x=_LABEL - 6, y=y + 10.5, text_anchor="end"),
        empty("rect", class_="b", x=_LABEL, y=y + 1, width=max(before * scale, 0.5), height=6),
        empty("rect", class_="f", x=_LABEL, y=y + 8, width=max(after * scale, 0.5), height=5),
        element("text", words, x=WIDTH - 2, y=y + 10.5, text_anchor="end"),
    )


def _percent(share: float) -> str:
    text = f"{share * 100:.1f}" if share < 0.0995 else f"{share * 100:.0f}"
    return f"{text} %"


def psi_bar(psi: float | None, severity: Severity, *, limits: Iterable[float] = (), width: int = 96) -> Markup:
    """A bar for a PSI with marks at the thresholds; full at 1.

    Args:
        psi: None draws an empty frame.
        severity: gives the colour; a high PSI may be held back by its gates.
        limits: where the rules' severities begin; none without a rule.
        width: in points.
    """
    height = 10
    if psi is None:
        frame = empty("rect", class_="hx", x=0.5, y=0.5, width=width - 1, height=height - 1)
        return svg(frame, width=width, height=height, label="no PSI")
    marks = "".join(f"M{coordinate(limit * width)} 0V{height}" for limit in limits if limit < 1)
    return svg(
        empty("rect", class_="h0", width=width, height=height),
        empty("rect", class_=f"s{int(severity)}", width=max(1.0, min(psi, 1.0) * width), height=height),
        empty("path", class_="g", d=marks) if marks else None,
        width=width,
        height=height,
        label=f"PSI {psi:.3g}, {severity.word}",
        stretches=True,
    )
