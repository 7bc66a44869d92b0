"""What a comparing monitor judges apart: versions that scored side by side, segments, and nothing twice."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from tables import Frame
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.model import Model
from tiltmeter.domain.rule import RuleSet
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.comparing import DRIFT, FEATURES
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kernel import profile_rows

START = datetime(2026, 3, 2, tzinfo=UTC)


def _day(number):
    return Window(START + timedelta(days=number), START + timedelta(days=number + 1), Grain.DAY)


def _rows(seed):
    return Frame(pa.table({"size": np.random.default_rng(seed).lognormal(3, 1, 400)}))


@dataclass
class Stored:
    """Daily profiles by version; "" is the sum of a day's versions."""

    days: dict

    def subjects(self, model, bins_id):
        return sorted({version for day in self.days.values() for version in day}), []

    def total(self, model, bins_id, window, *, version="", segment=("", "")):
        parts = [p for v, p in self.days.get(window.start, {}).items() if version in ("", v)]
        return sum(parts[1:], parts[0]) if parts else None

    def hours(self, model, bins_id, window, *, version="", segment=("", "")):
        return {}

    def watermark(self, model, bins_id):
        return 1


@pytest.fixture(scope="module")
def world():
    bins = fit_bins(_rows(1), ColumnRoles())
    reference = Reference("training", "b-1", bins, profile_rows(_rows(1), bins))
    one, two = profile_rows(_rows(2), bins), profile_rows(_rows(3), bins)
    days = {_day(0).start: {"14": one}, _day(1).start: {"14": one, "15": two}, _day(2).start: {"15": two}}
    return SimpleNamespace(
        states=Stored(days),
        baselines=SimpleNamespace(
            bins=lambda _model, _now: bins,
            judging=lambda _model, _window: reference,
            beside=lambda _model, _window: (),
        ),
        rules=RuleSet(()),
    )


def _versions(world, monitor, number):
    return {metric.subject.model_version for metric in monitor.measure(Model("leads"), _day(number), world)}


def test_versions_are_judged_apart_only_where_several_scored(world):
    assert _versions(world, DRIFT, 0) == {""}
    assert _versions(world, DRIFT, 1) == {"", "14", "15"}
    assert _versions(world, DRIFT, 2) == {""}


def test_an_hour_is_judged_as_a_whole(world):
    assert _versions(world, FEATURES, 1) == {""}
