"""Mean and standard deviation from exact integer sums, rounded once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiltmeter.domain.profile import NumericBins, NumericProfile

_FRACTION_BITS = 40
"""Fraction bits of the fixed-point sums."""

_RESOLUTION_BITS = 45
"""A variance below 2⁻⁴⁵ of the squared mean drowns in the rounding of z²."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and standard deviation (ddof 1), each None with a reason where it cannot be computed.

    Args:
        values: finite, non-missing, non-extreme values behind both.
    """

    mean: float | None
    std: float | None
    values: int
    why_mean: str = ""
    why_std: str = ""


def moments(bins: NumericBins, profile: NumericProfile) -> Moments:
    """Mean and standard deviation of one side; exact rational arithmetic, so no order of merging can change them."""
    infinite = profile.negative_infinite + profile.positive_infinite
    values = profile.rows - profile.missing - infinite - profile.extreme
    if values < 1:
        why = "only_extreme_values" if profile.extreme else "no_values"
        return Moments(None, None, 0, why, why)
    mean, why_mean = _mean(bins, profile, values)
    std, why_std = _std(bins, profile, values)
    return Moments(mean, std, values, why_mean, why_std)


def _mean(bins: NumericBins, profile: NumericProfile, values: int) -> tuple[float | None, str]:
    center, center_below = bins.center.as_integer_ratio()
    scale, scale_below = bins.scale.as_integer_ratio()
    # c + s·S₁/(2⁴⁰n) over one denominator; the quotient of two integers is rounded once, to the nearest double.
    above = ((center * scale_below * values) << _FRACTION_BITS) + scale * profile.sum1 * center_below
    try:
        return above / ((center_below * scale_below * values) << _FRACTION_BITS), ""
    except OverflowError:
        return None, "beyond_double_range"


def _std(bins: NumericBins, profile: NumericProfile, values: int) -> tuple[float | None, str]:
    if values < 2:
        return None, "one_value"
    if profile.minimum == profile.maximum:
        return 0.0, ""
    # n²·2⁸⁰ times the mean square deviation, in units of the scale.
    spread = ((profile.sum2 * values) << _FRACTION_BITS) - profile.sum1 * profile.sum1
    if spread <= 0 or (spread << _RESOLUTION_BITS) < profile.sum1 * profile.sum1:
        return None, "spread_below_resolution"
    try:
        variance = spread / ((values * (values - 1)) << (2 * _FRACTION_BITS))
    except OverflowError:  # |z| is at most 2⁴⁰, so only sums that no kernel makes come here
        return None, "beyond_double_range"
    # The scale is a power of two: multiplying the root by it rounds nothing.
    std = bins.scale * math.sqrt(variance)
    return (std, "") if math.isfinite(std) else (None, "beyond_double_range")
