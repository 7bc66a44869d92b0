"""What moved, in the words of the business: "web-form 18 points up", "median 50 → 5,000", "30 points more missing"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiltmeter.domain.comparison import FeatureComparison

_NAME_LENGTH = 40
"""Characters of a level that a message shows; levels are hostile text of any length."""

_POINTS_WORTH_SAYING = 0.02
"""Two points: below it a share has not moved as far as a person is concerned."""


def plain_number(value: float) -> str:
    """A number as a person writes it: four significant digits, thousands separated."""
    if value == 0:
        return "0"
    if abs(value) >= 1e7 or abs(value) < 1e-4:
        return f"{value:.3g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.4g}"
    return text if "e" not in text else f"{value:.6f}".rstrip("0")


def effect_of(feature: FeatureComparison) -> str:
    """The changes of a feature worth saying, at most three, strongest kind first; empty when there is none."""
    said = [text for text in (_missing(feature), _new_levels(feature), _levels(feature), _location(feature)) if text]
    return ", ".join(said[:3])


def _missing(feature: FeatureComparison) -> str:
    change = feature.missing_change
    if change is None or abs(change) < _POINTS_WORTH_SAYING or feature.current is None:
        return ""
    direction = "more" if change > 0 else "fewer"
    return (
        f"{abs(change) * 100:.0f} points {direction} missing (now {100 * (feature.current.missing_share or 0):.0f} %)"
    )


def _new_levels(feature: FeatureComparison) -> str:
    new = feature.new_levels
    if new is None or new.rows == 0 or new.share < _POINTS_WORTH_SAYING / 2:
        return ""
    name = shortened(new.names[0]) if new.names else ""
    more = f" and {new.count - 1} more" if new.count > 1 else ""
    return f"new level {name}{more}, {new.share * 100:.0f} %"


def _levels(feature: FeatureComparison) -> str:
    if not feature.kind.has_levels or not feature.cells:
        return ""
    total_reference = sum(cell.reference for cell in feature.cells) or 1
    total_current = sum(cell.current for cell in feature.cells) or 1
    moves = sorted(
        ((cell.current / total_current - cell.reference / total_reference, cell.name) for cell in feature.cells),
        key=lambda move: -abs(move[0]),
    )
    said = [
        f"{shortened(name)} {abs(points) * 100:.0f} points {'up' if points > 0 else 'down'}"
        for points, name in moves[:2]
        if abs(points) >= _POINTS_WORTH_SAYING and name not in {"(missing)", "(other)"}
    ]
    return ", ".join(said)


def _location(feature: FeatureComparison) -> str:
    reference, current = feature.reference, feature.current
    if reference is None or current is None or reference.median is None or current.median is None:
        return ""
    spread = reference.std or 0.0
    if abs(current.median - reference.median) > 0.1 * spread:
        return f"median {plain_number(reference.median)} → {plain_number(current.median)}"
    if reference.std and current.std and not 0.8 < current.std / reference.std < 1.25:
        return f"spread × {current.std / reference.std:.2g}"
    return ""


def shortened(name: str) -> str:
    """A hostile name cut to what a line can hold, without control characters."""
    clean = "".join(character if character.isprintable() else "·" for character in name)
    return clean if len(clean) <= _NAME_LENGTH else clean[: _NAME_LENGTH - 1] + "…"
