"""A comparison in words: the sentence that stands first, the order of features, and how numbers are written."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import STATUS_WORDS, Status
from tiltmeter.domain.severity import Severity
from tiltmeter.monitors.effects import effect_of, shortened, value_in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.domain.comparison import Comparison, FeatureComparison
    from tiltmeter.domain.feature import FeatureKind

FIRST_ROWS = 10
"""Features of the first view."""

_LEAST_DOUBLE_SHOWN = 1e-300


def ranked(comparison: Comparison) -> list[FeatureComparison]:
    """Features by severity, then by PSI; what could not be measured last."""

    def order(feature: FeatureComparison) -> tuple[int, bool, float, str]:
        unmeasured = feature.psi is None and feature.severity <= Severity.INFO
        return -feature.severity, unmeasured, -(feature.psi if feature.psi is not None else math.inf), feature.name

    return sorted(comparison.features.values(), key=order)


def moved(comparison: Comparison) -> list[FeatureComparison]:
    """Features at warning or above, worst first."""
    return [feature for feature in ranked(comparison) if feature.severity >= Severity.WARNING]


def has_too_few_rows(comparison: Comparison) -> bool:
    """Whether some feature has too few rows to be judged."""
    return any(feature.status is Status.TOO_FEW_ROWS for feature in comparison.features.values())


def sentence(comparison: Comparison) -> str:
    """The answer in one sentence, without a full stop."""
    if comparison.rows_current == 0:
        return "The current side has no rows"
    fewest = min(comparison.n_reference, comparison.n_current)
    found = moved(comparison)
    total = comparison.overall.features
    if has_too_few_rows(comparison) and not found:
        said = f"Not judged: {fewest:,} rows on the smaller side are too few; the numbers are shown all the same"
        return said if comparison.overall.score_psi is not None else said + _score_words(comparison)
    if not found:
        said = f"None of {total} features moved" if total != 1 else "The feature did not move"
        least = _visible(comparison)
        quiet = f"{said}; a PSI of {number(least)} would have been seen" if least is not None else said
        return quiet + _score_words(comparison)
    strongest = found[0]
    words = ", ".join(part for part in (shortened(strongest.name), effect(strongest)) if part)
    return f"{len(found)} of {total} features moved; strongest: {words}{_score_words(comparison)}"


def _visible(comparison: Comparison) -> float | None:
    """Least PSI that would have been seen in every feature."""
    found = [f.minimum_detectable for f in comparison.features.values() if f.minimum_detectable is not None]
    return max(found, default=None)


def _score_words(comparison: Comparison) -> str:
    score, severity = comparison.score, comparison.overall.severity
    word = f" ({severity.word})" if severity >= Severity.WARNING else ""
    if score is not None and score.status in (Status.MISSING_COLUMN, Status.TYPE_CHANGED):
        return f"; the score {'is gone' if score.status is Status.MISSING_COLUMN else 'changed its type'}{word}"
    if score is None or comparison.overall.score_psi is None:
        return ""
    return f"; score PSI {number(comparison.overall.score_psi)}{word}"


def effect(feature: FeatureComparison) -> str:
    """What changed about a feature, in words: the state it is in, else the changes worth saying, else its PSI."""
    if feature.status in (Status.OK, Status.ALL_MISSING):
        found = effect_of(feature)
        if found or feature.status is Status.OK:
            return found or (f"PSI {number(feature.psi)}" if feature.severity >= Severity.WARNING else "")
    if feature.status is Status.TYPE_CHANGED and feature.hints:
        return feature.hints[0].split("` ", 1)[-1]
    return status_words(feature.status)


def status_words(status: Status) -> str:
    """A status as a person says it; empty when all is well."""
    return STATUS_WORDS.get(status, "")


def p_value(value: float | None) -> str:
    """A p- or q-value: `< 1e-300` instead of 0."""
    if value is None:
        return "–"
    if value < _LEAST_DOUBLE_SHOWN:
        return "< 1e-300"
    return f"{value:.2f}" if value >= 0.01 else f"{value:.1e}".replace("e-0", "e-")


def number(value: float | None) -> str:
    """A statistic with two or three significant digits."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def percent(share: float | None) -> str:
    """A share in percent."""
    if share is None:
        return "–"
    if share != 0 and abs(share) < 0.001:
        return f"{share * 100:.2g} %"
    return f"{share * 100:.1f} %"


def value_text(value: float | None, kind: FeatureKind) -> str:
    """A value of a feature: dates as dates, numbers with four significant digits."""
    return "–" if value is None else value_in_words(value, kind)


def first_rows(comparison: Comparison) -> Sequence[FeatureComparison]:
    """The features of the first view."""
    return ranked(comparison)[:FIRST_ROWS]
