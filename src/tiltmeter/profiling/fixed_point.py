"""Sums that are exact in any order: values become integers with 40 fraction bits, and integers add."""

from __future__ import annotations

import math

import numpy as np

FRACTION_BITS = 40
LIMB = 2.0**FRACTION_BITS
"""Weight of a limb, of the fixed point, and the largest |z| that is summed."""

_INT64_SAFE = 2.0**62

MAX_ROWS = 2**22
"""Rows whose 40-bit limbs an int64 can hold."""


def scale_of(spreads: list[float]) -> float:
    """2^floor(log2 d) of the first spread that is positive and finite; 1 without one."""
    for spread in spreads:
        if spread > 0 and math.isfinite(spread):
            return math.ldexp(1.0, math.frexp(spread)[1] - 1)
    return 1.0


def fixed_sums(values: np.ndarray, *, center: float, scale: float) -> tuple[int, int, int]:
    """Exact sums of z and z², z = (x - center)/scale, as integers in units of 2^-40.

    Args:
        values: finite float64.
        center: c.
        scale: s, a power of two.

    Returns:
        Sum of floor(z·2^40 + ½), sum of floor(z²·2^40 + ½), and the number of values left out because |z| > 2^40.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        z = (values - center) / scale
    if z.size == 0:
        return 0, 0, 0
    largest = max(1.0, float(np.maximum.reduce(z)), -float(np.minimum.reduce(z)))
    if z.size * (largest * largest + 1.0) < _INT64_SAFE / LIMB:
        # The same integers, and so few and small that an int64 holds their sum.
        return _whole_sum(z), _whole_sum(z * z), 0
    extreme = 0
    if not largest <= LIMB:
        inside = np.abs(z) <= LIMB
        extreme = int(z.size - np.count_nonzero(inside))
        z = z[inside]
    sum1 = sum2 = 0
    for start in range(0, z.size, MAX_ROWS):
        part = z[start : start + MAX_ROWS]
        sum1 += _limb_sum(np.floor(part * LIMB + 0.5))
        sum2 += _limb_sum(np.floor((part * part) * LIMB + 0.5))
    return sum1, sum2, extreme


def _whole_sum(values: np.ndarray) -> int:
    return int(np.add.reduce(np.floor(values * LIMB + 0.5).astype(np.int64)))


def _limb_sum(whole: np.ndarray) -> int:
    left = np.abs(whole)
    if left.size and left.max() < _INT64_SAFE:
        # The same integers, in two halves that 2^22 rows cannot overflow.
        integers = whole.astype(np.int64)
        return (int((integers >> 32).sum()) << 32) + int((integers & 0xFFFFFFFF).sum())
    sign = np.sign(whole).astype(np.int64)
    total = 0
    weight = 0
    while left.size and left.any():
        above = np.floor(left / LIMB)
        limb = (left - above * LIMB).astype(np.int64) * sign
        total += int(limb.sum()) << weight
        weight += FRACTION_BITS
        left = above
    return total
