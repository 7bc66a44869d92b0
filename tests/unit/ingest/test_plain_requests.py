"""Plain requests go through columns, others value by value: both ways make the same rows."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spools import START, fill, request
from tiltmeter.capture.record import micros
from tiltmeter.capture.spool import sealed_segments
from tiltmeter.domain.model import Model, RouteMapping
from tiltmeter.ingest.columns import FeatureTypes
from tiltmeter.ingest.segments import SegmentReader

INGEST_US = micros(START)
ROUTE = RouteMapping("POST /score", entity_id="lead", prediction="response.risk")


def read(records, *, keep_raw, models=None, known=None):
    with TemporaryDirectory() as folder:
        fill(Path(folder), records)
        reader = SegmentReader(models or {}, FeatureTypes(dict(known or {})), keep_raw)
        (segment,) = sealed_segments(folder)
        return reader.read(segment, ingest_us=INGEST_US)


def both_ways(records, **options):
    # `always` keeps the bodies of every request, so nothing is plain; the bodies themselves are left out here.
    columns, one_by_one = read(records, keep_raw="never", **options), read(records, keep_raw="always", **options)
    tables = []
    for found in (columns, one_by_one):
        kept = found.predictions.drop_columns(["request", "response", "event_id", "spool_slot"])
        tables.append(kept.select(sorted(kept.column_names)).sort_by("request_id").combine_chunks())
    return columns, one_by_one, tables


def reports(found):
    return {name: (it.answers, it.without_prediction, it.response_keys) for name, it in found.routes.items()}


def recorded(number, body, answer, **facts):
    sent, told = json.dumps(body).encode(), json.dumps(answer).encode()
    facts = {"request": sent, "response": told, "request_bytes": len(sent), "response_bytes": len(told)} | facts
    return request(number, **facts)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(allow_nan=True),
    st.integers(min_value=-(2**60), max_value=2**60),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from("xy"), st.integers(0, 9), max_size=2),
)
bodies = st.one_of(
    st.dictionaries(st.sampled_from(["a", "b", "B", "entity_id", "lead", "naïve", "c\x00"]), scalars, max_size=6),
    st.lists(st.integers(), max_size=2),
    st.text(max_size=3),
)
answers = st.one_of(
    st.dictionaries(st.sampled_from(["prediction", "score", "risk"]), scalars, max_size=3), st.floats(), st.none()
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(bodies, answers, st.sampled_from([200, 200, 201, 422, 500])), min_size=1, max_size=12))
def test_columns_and_single_values_make_the_same_rows(exchanges):
    records = [recorded(n, body, answer, status=status) for n, (body, answer, status) in enumerate(exchanges)]
    for models in (None, {"lead-scoring": Model("lead-scoring", routes=(ROUTE,))}):
        columns, one_by_one, tables = both_ways(records, models=models, known={"f_a": pa.float64()})
        assert set(tables[0].column_names) == set(tables[1].column_names)
        for name in tables[1].column_names:
            assert repr(tables[0][name].to_pylist()) == repr(tables[1][name].to_pylist()), name  # NaN is not NaN
        assert columns.traffic.states() == one_by_one.traffic.states()
        assert reports(columns) == reports(one_by_one)
        assert {k: v for k, v in columns.counts.items() if v} == {k: v for k, v in one_by_one.counts.items() if v}


def test_a_usual_body_takes_no_second_look():
    columns, _, tables = both_ways([request(n, status=200) for n in range(50)])
    assert tables[0].equals(tables[1])
    assert columns.routes["lead-scoring POST /score"].answers == 50


def test_one_strange_value_sends_its_lot_the_long_way_and_loses_nothing():
    records = [recorded(n, {"a": 1.5, "b": "x"}, {"score": 0.5}) for n in range(20)]
    records.append(recorded(20, {"a": "not a number", "b": 2**60}, {"score": 1}))
    columns, one_by_one, tables = both_ways(records, known={"f_a": pa.float64(), "f_b": pa.string()})
    assert tables[0].equals(tables[1])
    assert columns.counts == one_by_one.counts
    (rescued,) = [text for text in tables[0]["_rescued_data"].to_pylist() if text]
    assert json.loads(rescued) == {"a": "not a number", "b": str(2**60)}


def test_every_client_with_keys_of_its_own_costs_time_and_no_row():
    records = [recorded(n, {f"k{n}": 1.0}, {"score": 0.5}) for n in range(80)]
    _, _, tables = both_ways(records)
    assert tables[0].num_rows == 80
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("bodies", [({"b": None}, {"B": 1.0}), ({"B": 1.0}, {"b": None}), ({"b": None, "B": 1.0},)])
def test_a_name_without_a_value_takes_no_column_from_another_case_of_it(bodies):
    records = [recorded(n, body, {"score": 0.5}) for n, body in enumerate(bodies)]
    _, _, tables = both_ways(records, models=None, known={})
    for table in tables:
        assert [name for name in table.column_names if name.startswith("f_")] == ["f_B"]
        assert table["f_B"].drop_null().to_pylist() == [1.0]
