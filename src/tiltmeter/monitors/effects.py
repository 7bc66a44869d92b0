"""What moved, in the words of the business: "web-form 18 points up", "median 50 → 5,000", "30 points more missing"."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.statistics.hints import NO_OVERLAP

if TYPE_CHECKING:
    from tiltmeter.domain.comparison import FeatureComparison, SideStatistics

_NAME_LENGTH = 40
"""Characters of a level that a message shows; levels are hostile text of any length."""

_POINTS_WORTH_SAYING = 0.02
"""Two points: below it a share has not moved as far as a person is concerned."""

_RANGE_WORTH_SAYING = 0.01
"""Where the default rule for values out of range begins."""

_PSI_WORTH_SAYING = 0.1
"""From here on something is said of a feature even if nothing stands out: its mean."""


def plain_number(value: float) -> str:
    """A number as a person writes it: four significant digits, thousands separated."""
    if value == 0:
        return "0"
    if abs(value) >= 1e12 or abs(value) < 1e-4:
        return f"{value:.3g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    text = f"{value:.4g}"
    return text if "e" not in text else f"{value:.6f}".rstrip("0")


def value_in_words(value: float, kind: FeatureKind) -> str:
    """A value of a feature: dates as dates, numbers with four significant digits."""
    if kind is FeatureKind.DATETIME:
        try:
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M")
        except (OverflowError, ValueError, OSError):  # beyond the years 1 to 9999
            return plain_number(value)
    return plain_number(value)


def effect_of(feature: FeatureComparison) -> str:
    """The changes of a feature worth saying, at most three, strongest kind first; empty when there is none.

    Sides that share no value are always called so: the size of PSI then depends on the numbers of rows.
    """
    looks = (_missing, _new_levels, _levels, _location, _range)
    said = [text for look in looks if (text := look(feature))][:3] or [text for text in (_mean(feature),) if text]
    return ", ".join([*said, "no overlap"] if NO_OVERLAP in feature.hints else said)


def shift_of(feature: FeatureComparison) -> str:
    """As `effect_of`; where nothing is large, what moved most, from what to what, however little.

    A test of many rows finds changes that no other rule speaks of: its reader should see how small they are.
    """
    return effect_of(feature) or _small_mean(feature) or _largest_share(feature)


_MEAN_WORTH_SAYING = 0.02
"""Of a standard deviation: below it a test saw the shape of a distribution, not its middle."""


def _small_mean(feature: FeatureComparison) -> str:
    before, now = _mean_of(feature.reference), _mean_of(feature.current)
    spread = feature.reference.std if feature.reference is not None else None
    if before is None or now is None or not spread or abs(now - before) < _MEAN_WORTH_SAYING * spread:
        return ""
    return _changed("mean", before, now, feature.kind)


def _largest_share(feature: FeatureComparison) -> str:
    before = sum(cell.reference for cell in feature.cells) or 1
    now = sum(cell.current for cell in feature.cells) or 1
    moves = [(cell.current / now - cell.reference / before, cell) for cell in feature.cells]
    # Of two levels one rises as the other falls: the one that rises is named.
    _, most = max(moves, key=lambda move: (round(abs(move[0]), 9), move[0]), default=(0.0, None))
    if most is None:
        return ""
    shares = f"{100 * most.reference / before:.1f} %", f"{100 * most.current / now:.1f} %"
    if shares[0] == shares[1]:
        return ""
    moved = f"{shares[0]} → {shares[1]}"
    return f"{shortened(most.name)} {moved}" if feature.kind.has_levels else f"{moved} in {shortened(most.name)}"


def _missing(feature: FeatureComparison) -> str:
    change = feature.missing_change
    if change is None or abs(change) < _POINTS_WORTH_SAYING or feature.current is None:
        return ""
    direction = "more" if change > 0 else "fewer"
    # PSI speaks of missing values from 2.5 % on where there were none: the reader should know that this is why.
    before = ", none before" if feature.reference is not None and not feature.reference.missing else ""
    now = f"now {100 * (feature.current.missing_share or 0):.0f} %"
    return f"{abs(change) * 100:.0f} points {direction} missing ({now}{before})"


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
        return _changed("median", reference.median, current.median, feature.kind)
    if reference.std and current.std and not 0.8 < current.std / reference.std < 1.25:
        ratio = current.std / reference.std
        return (
            f"spread {plain_number(float(f'{max(ratio, 1 / ratio):.2g}'))} times {'larger' if ratio > 1 else 'smaller'}"
        )
    return ""


def _range(feature: FeatureComparison) -> str:
    share, reference = feature.out_of_range, feature.reference
    # Dates leave the baseline's range by growing older; that is no news.
    if share is None or share <= _RANGE_WORTH_SAYING or reference is None or feature.kind is not FeatureKind.NUMERIC:
        return ""
    if reference.min is None or reference.max is None or NO_OVERLAP in feature.hints:
        return ""
    low, high = plain_number(reference.min), plain_number(reference.max)
    return f"{share * 100:.0f} % " + (f"other than {low}" if low == high else f"outside {low} – {high}")


def _mean(feature: FeatureComparison) -> str:
    if feature.psi is None or feature.psi <= _PSI_WORTH_SAYING:
        return ""
    before, after = _mean_of(feature.reference), _mean_of(feature.current)
    return "" if before is None or after is None else _changed("mean", before, after, feature.kind)


def _mean_of(side: SideStatistics | None) -> float | None:
    return None if side is None else side.mean


def step_words(feature: FeatureComparison, metric: str) -> str:
    """The change since the window before, in words: of the mean, or of what is missing."""
    step, now = feature.step, feature.current
    if step is None or now is None:
        return ""
    then = step.previous
    if metric.endswith("missing_step"):
        return f"missing {100 * (then.missing_share or 0):.1f} % → {100 * (now.missing_share or 0):.1f} % in one window"
    if then.mean is None or now.mean is None:
        return ""
    said = _changed("mean", then.mean, now.mean, feature.kind)
    return f"{said} in one window" if said else ""


def _changed(what: str, before: float, after: float, kind: FeatureKind) -> str:
    words = value_in_words(before, kind), value_in_words(after, kind)
    return f"{what} {words[0]} → {words[1]}" if words[0] != words[1] else ""


def shortened(name: str) -> str:
    """A hostile name cut to what a line can hold, without control characters."""
    clean = "".join(character if character.isprintable() else "·" for character in name)
    return clean if len(clean) <= _NAME_LENGTH else clean[: _NAME_LENGTH - 1] + "…"
