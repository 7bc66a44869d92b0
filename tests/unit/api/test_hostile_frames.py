"""Whole hostile frames through the whole comparison, views included; the long form is part of `make faults`."""

import pytest

from hostile_frames import survives


def test_hostile_frames_give_finite_numbers_or_reasons():
    # Remembered: values from one end of the doubles to the other, an unnamed index that occurs twice, a lattice whose
    # next point is beyond the doubles.
    compared = [survives(seed) for seed in (*range(200), 300, 329, 8630)]
    assert sum(compared) > 100


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_ten_thousand_hostile_frames_give_finite_numbers_or_reasons():
    compared = [survives(seed) for seed in range(10_000)]
    assert sum(compared) > 5_000
