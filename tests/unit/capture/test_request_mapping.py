"""From bodies to rows: the defaults of the reference page, configured paths, and whatever clients send."""

import gzip
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltmeter.capture.mapping import MOST_FEATURES, map_request, read_json, resolve
from tiltmeter.capture.record import LoggedFields, RequestRecord, decode_record, encode_record
from tiltmeter.domain.errors import UnreadableData
from tiltmeter.domain.model import RouteMapping


def record(request=None, response=None, **more):
    sent = request if isinstance(request, bytes) else b"" if request is None else json.dumps(request).encode()
    got = response if isinstance(response, bytes) else b"" if response is None else json.dumps(response).encode()
    fields = {"status": 200, "duration_us": 1500, "request_bytes": len(sent), "response_bytes": len(got), **more}
    return RequestRecord(
        1, "lead-scoring", "14", "POST", "/score", request_id="r", request=sent, response=got, **fields
    )


def mapped(request=None, response=None, route=None, **more):
    return map_request(record(request, response, **more), event_id="e", route=route)


def only_row(*args, **more):
    (row,) = mapped(*args, **more).rows
    return row


def test_scalars_are_features_and_nested_objects_get_dots():
    row = only_row({"size": 3, "plan": "pro", "trial": True, "gone": None, "a": {"b": {"c": 1.5}}}, {"score": 0.5})
    assert row["features"] == {"size": 3.0, "plan": "pro", "trial": True, "gone": None, "a.b.c": 1.5}
    assert type(row["features"]["size"]) is float
    assert row["prediction"] == 0.5
    assert row["execution_duration_ms"] == 1.5
    assert row["event_id"] == "e"
    assert row["record_index"] is None


def test_lists_are_ignored_and_counted():
    result = mapped({"a": 1, "tags": ["x"], "n": {"more": [1]}}, {"score": 0.1})
    assert result.rows[0]["features"] == {"a": 1.0}
    assert result.counts["lists_ignored"] == 2


@pytest.mark.parametrize(
    ("response", "prediction"),
    [
        ({"prediction": 1, "score": 2, "probability": 3}, 1.0),
        ({"prediction": "yes", "score": 0.2}, 0.2),
        ({"prediction": True, "probability": 0.3}, 0.3),
        ({"score": None, "probability": 0.4}, 0.4),
        ({"risk": 0.5}, None),
        ([0.5], None),
        (b'{"score": NaN}', None),
        (b"not json", None),
        ({"score": 10**400}, None),
    ],
)
def test_the_prediction_is_the_first_usual_name_that_is_a_number(response, prediction):
    assert only_row({"a": 1}, response)["prediction"] == prediction


def test_an_answer_without_a_prediction_shows_its_keys():
    result = mapped({"a": 1}, {"risk": 0.5, "id": 7})
    assert result.response_keys == ("id", "risk")
    assert result.counts["no_prediction"] == 1
    assert result.unmapped


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("lead-1", "lead-1"), (17, "17"), (17.0, "17"), (True, None), (None, None), ("", None), ([1], None)],
)
def test_the_entity_id_is_text_and_no_feature(sent, kept):
    row = only_row({"entity_id": sent, "a": 1}, {"score": 0.1})
    assert row["entity_id"] == kept
    assert "entity_id" not in row["features"]


def test_integers_beyond_double_precision_are_rescued():
    row = only_row({"exact": 2**53, "beyond": 2**53 + 1, "far": 10**30}, {"score": 0.1})
    assert row["features"] == {"exact": 2.0**53, "beyond": None, "far": None}
    assert row["rescued"] == {"beyond": "9007199254740993", "far": str(10**30)}


def test_configured_paths_find_a_nested_lead():
    route = RouteMapping("POST /score", features="lead.data", entity_id="crm.id", prediction="response.result.risk")
    row = only_row({"lead": {"data": {"x": 1, "crm": {"id": 9}}}}, {"result": {"risk": 0.25}}, route)
    assert row["features"] == {"x": 1.0}
    assert (row["entity_id"], row["prediction"]) == ("9", 0.25)


@pytest.mark.parametrize(
    ("request_body", "response", "route"),
    [
        ({"leads": [{"lead_id": "a", "x": 1}, {"lead_id": "b", "x": 2}]}, {"scores": [0.1, 0.2]}, "configured"),
        ([{"entity_id": "a", "x": 1}, {"entity_id": "b", "x": 2}], [0.1, 0.2], None),
        ([{"entity_id": "a", "x": 1}, {"entity_id": "b", "x": 2}], [{"score": 0.1}, {"score": 0.2}], None),
        ([{"entity_id": "a", "x": 1}, {"entity_id": "b", "x": 2}], {"scores": [0.1, 0.2]}, None),
    ],
)
def test_a_list_body_makes_one_row_an_item(request_body, response, route):
    paths = RouteMapping("POST /score", features="leads.*", entity_id="lead_id", prediction="response.scores.*")
    rows = mapped(request_body, response, paths if route else None).rows
    assert [(r["event_id"], r["record_index"], r["entity_id"], r["prediction"]) for r in rows] == [
        ("e-0", 0, "a", 0.1),
        ("e-1", 1, "b", 0.2),
    ]
    assert [r["features"] for r in rows] == [{"x": 1.0}, {"x": 2.0}]


def test_scores_that_do_not_match_the_items_are_not_guessed():
    result = mapped([{"x": 1}, {"x": 2}], [0.1])
    assert [row["prediction"] for row in result.rows] == [None, None]
    assert result.counts["length_mismatch"] == 1


def test_an_error_is_one_row_without_features():
    result = mapped({"x": "wrong type"}, {"detail": []}, status=422, error_type="RequestValidationError")
    (row,) = result.rows
    assert row["features"] == {}
    assert row["error_type"] == "RequestValidationError"
    assert result.unmapped


def test_what_the_handler_logged_wins_key_by_key():
    said = [LoggedFields(features={"x": 5, "looked_up": 0.5, "tags": []}, prediction=0.9, entity_id="l", threshold=0.4)]
    row = only_row({"x": 1, "y": 2}, {"score": 0.1}, logged=said)
    assert row["features"] == {"x": 5.0, "y": 2.0, "looked_up": 0.5}
    assert (row["prediction"], row["entity_id"], row["threshold"]) == (0.9, "l", 0.4)


def test_logged_items_of_a_body_without_rows_become_rows():
    said = [LoggedFields(features={"x": n}, prediction=n / 10, record_index=n) for n in range(3)]
    rows = mapped(b"a,b\n1,2", {"ok": True}, logged=said).rows
    assert [(r["record_index"], r["prediction"]) for r in rows] == [(0, 0.0), (1, 0.1), (2, 0.2)]


def test_a_compressed_answer_is_read():
    body = gzip.compress(b'{"score": 0.75}')
    assert only_row({"x": 1}, body, response_encoding="gzip")["prediction"] == 0.75


def test_a_compression_bomb_is_not_inflated():
    result = mapped({"x": 1}, gzip.compress(b"0" * 50_000_000), response_encoding="gzip")
    assert result.counts["response_unreadable"] == 1


def test_a_cut_body_is_not_parsed():
    result = mapped(b'{"x": 1}', {"score": 0.1}, request_bytes=5000)
    assert result.rows[0]["features"] == {}
    assert result.counts["request_truncated"] == 1


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        (b'{"x": 1e400}', math.inf),
        (b'{"x": -Infinity}', -math.inf),
        (b'{"x": "\\ud800"}', "?"),
        (b'{"x": "\xc3\xa4"}', "ä"),
        (b'{"x": ' + b"9" * 5000 + b"}", "9" * 5000),
        (b'{"x": -0.0}', -0.0),
        (b'{"x": 5e-324}', 5e-324),
        (b'{"x": "NaN"}', "NaN"),
    ],
)
def test_strange_values_become_what_a_column_can_hold(body, feature):
    assert only_row(body, {"score": 0.1})["features"] == {"x": feature}


def test_not_a_number_stays_one():
    assert math.isnan(only_row(b'{"x": NaN}', {"score": 0.1})["features"]["x"])


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"", b"{", b"[1, 2", b"{} x"])
def test_what_is_no_json_is_counted_and_still_a_row(body):
    result = mapped(body, {"score": 0.1})
    assert result.rows[0]["features"] == {}
    assert result.rows[0]["prediction"] == 0.1
    assert result.counts["request_unreadable"] == (1 if body else 0)


def test_a_client_cannot_grow_the_table_without_end():
    result = mapped({f"k{n}": n for n in range(5000)}, {"score": 0.1})
    assert len(result.rows[0]["features"]) == MOST_FEATURES
    assert result.counts["features_ignored"] == 5000 - MOST_FEATURES


def test_objects_nested_too_deep_are_left_out():
    body = {"deep": 1}
    for _ in range(100):
        body = {"n": body}
    assert mapped(body, {"score": 0.1}).counts["features_ignored"] == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4),
    max_leaves=25,
)


@given(json_values, json_values, st.sampled_from([None, "a.b", "*.x", "$", "leads.*"]))
def test_no_body_makes_the_mapping_raise(request_body, response, path):
    route = RouteMapping("POST /score", features=path, prediction="response.a.*") if path else None
    result = mapped(request_body, response, route)
    assert result.rows
    for row in result.rows:
        for name, value in row["features"].items():
            assert value is None or type(value) in (float, bool, str)
            name.encode()


@given(st.binary(max_size=200))
def test_no_bytes_make_the_mapping_raise(body):
    assert mapped(body, body).rows


def test_dotted_keys_are_found_whole():
    assert resolve({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert resolve({"a": {"b.c": 3}}, "a.b.c") == 3
    assert resolve([{"x": 1}, {"x": 2}, 5], "*.x") == [1, 2, None]
    assert resolve({"x": 1}, "x.y") is None


def test_read_json_refuses_what_is_none():
    with pytest.raises(ValueError, match="no JSON"):
        read_json(b"{")


@given(st.text(max_size=20), st.floats(), st.binary(max_size=50))
def test_a_record_reads_back(text, number, body):
    text = text.encode("utf-8", "replace").decode()
    one = record(body, body, error_type=text, sampling=number, logged=[LoggedFields({text: number})])
    assert repr(decode_record(encode_record(one))) == repr(one)


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x92\xa9request/9\x01", b"\xc1", b"\x91" * 5000])
def test_what_is_no_record_is_an_error_with_advice(payload):
    with pytest.raises(UnreadableData, match="upgrade the shipper"):
        decode_record(payload)


def test_a_record_of_a_later_release_with_more_fields_is_read():
    from msgspec import msgpack

    fields = msgpack.decode(encode_record(record({"x": 1}, {"score": 0.1})))
    assert decode_record(msgpack.encode([*fields, "new", 1])).model == "lead-scoring"
