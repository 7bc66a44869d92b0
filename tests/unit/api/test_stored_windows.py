"""Stored states as the windows of a history."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from tables import FakeClock
from tiltmeter.api.baseline import Baseline
from tiltmeter.api.history import stored_windows
from tiltmeter.domain.window import Grain, windows_between
from tiltmeter.ports import StateKey
from tiltmeter.profiling.codec import encode_window
from tiltmeter.profiling.progress import LISTENER
from tiltmeter.store.states import DeltaProfileStates

START = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.fixture
def stored(tmp_path):
    """Nine days of hours, one in five without rows."""
    rng = np.random.default_rng(3)
    baseline = Baseline.fit(pa.table({"x": rng.normal(size=500)}))
    bins = baseline.bins
    profiles = {
        StateKey(START + timedelta(hours=hour), Grain.HOUR, "leads", bins_id=bins.bins_id): baseline.profile(
            pa.table({"x": rng.normal(size=20 + hour % 7)})
        )
        for hour in range(9 * 24)
        if hour % 5
    }
    states = DeltaProfileStates(tmp_path, FakeClock())
    states.append(profiles, source_version=None)
    return states, bins.bins_id


@pytest.mark.parametrize(
    ("grain", "zone"), [(Grain.HOUR, "UTC"), (Grain.HOUR, "Asia/Kolkata"), (Grain.DAY, "UTC"), (Grain.WEEK, "UTC")]
)
def test_windows_hold_what_the_store_says_of_each_of_them(stored, grain, zone):
    states, bins_id = stored
    windows = list(windows_between(START, START + timedelta(days=9), grain, ZoneInfo(zone)))
    found = list(stored_windows(states, "leads", bins_id, windows))
    assert [window for window, _ in found] == windows
    for window, profile in found:
        total = states.total("leads", bins_id, window)
        assert (profile is None) == (total is None)
        if profile is not None:
            assert encode_window(profile) == encode_window(total)
            assert np.array_equal(profile.features["x"].counts, total.features["x"].counts)
    assert sum(profile.rows for _, profile in found if profile) > 3_000


def test_whoever_listens_is_told_how_many_windows_are_judged(stored):
    states, bins_id = stored
    windows = list(windows_between(START, START + timedelta(days=2), Grain.HOUR, ZoneInfo("UTC")))
    heard = []
    token = LISTENER.set(lambda what, done, total: heard.append((what, done, total)))
    try:
        list(stored_windows(states, "leads", bins_id, windows))
    finally:
        LISTENER.reset(token)
    assert heard[0] == ("judging windows", 0, 48)
    assert heard[-1] == ("judging windows", 47, 48)
