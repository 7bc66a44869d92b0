"""What the API says of one feature: cells and statistics of the baseline, of a span, and of the span before."""

import json

import numpy as np
import pyarrow as pa
import pytest

from tiltmeter import Baseline
from tiltmeter.service.answers import profile_json

RNG = np.random.default_rng(3)


def leads(mean, rows, plan="a"):
    return pa.table({"size": RNG.normal(mean, 5, rows), "plan": [plan, "b"] * (rows // 2)})


@pytest.fixture(scope="module")
def told():
    known = leads(50, 2000)
    baseline = Baseline.fit(known)
    spans = {"current": leads(60, 400), "previous": leads(55, 600, plan="new")}

    def answer(feature, **given):
        profiles = {name: baseline.profile(table) for name, table in (spans | given).items() if table is not None}
        found = profile_json(feature, baseline.reference, {"current": None, "previous": None} | profiles)
        return json.loads(json.dumps(found, allow_nan=False))

    return answer, {"baseline": known, **spans}


def test_statistics_of_the_span_stand_beside_those_of_the_baseline_and_of_the_span_before(told):
    answer, tables = told
    found = answer("size")["statistics"]
    assert list(found) == ["baseline", "current", "previous"]
    for side, table in tables.items():
        values = table["size"].to_numpy()
        assert found[side]["count"] == len(values)
        assert found[side]["mean"] == pytest.approx(values.mean())
        assert found[side]["std"] == pytest.approx(values.std(ddof=1), rel=1e-8)
        assert (found[side]["min"], found[side]["max"]) == (values.min(), values.max())


def test_levels_have_the_largest_ones_of_each_span(told):
    found = told[0]("plan")["statistics"]
    assert [level["level"] for level in found["previous"]["top"]] == ["b", "new"]
    assert [level["level"] for level in found["current"]["top"]] == ["a", "b"]


def test_a_span_without_rows_has_no_statistics(told):
    found = told[0]("size", previous=None)
    assert found["statistics"]["previous"] is None
    assert found["statistics"]["current"]["count"] == found["rows"] == 400
