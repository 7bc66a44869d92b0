"""Nothing that privacy names reaches the disk."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltmeter.capture.frames import private_column
from tiltmeter.capture.privacy import Privacy
from tiltmeter.capture.record import LoggedFields
from tiltmeter.domain.errors import ConfigError


@pytest.fixture(autouse=True)
def hash_key(monkeypatch):
    monkeypatch.setenv("TILTMETER_HASH_KEY", "key of the test")


def test_a_bare_name_is_dropped_at_any_depth():
    body = {"email": "a@b.c", "x": 1, "lead": {"email": "d@e.f", "more": [{"email": "g@h.i", "y": 2}]}}
    assert Privacy(drop=["email"]).json(body) == {"x": 1, "lead": {"more": [{"y": 2}]}}
    assert body["email"] == "a@b.c"  # the application may still be using it


def test_a_path_is_dropped_only_where_it_leads():
    privacy = Privacy(drop=["lead.email", "leads.*.phone"])
    assert privacy.json({"email": "kept", "lead": {"email": "x", "y": 1}}) == {"email": "kept", "lead": {"y": 1}}
    assert privacy.json({"leads": [{"phone": "1"}, {"z": 2}]}) == {"leads": [{}, {"z": 2}]}


def test_a_hash_is_keyed_stable_and_not_hashed_again(monkeypatch):
    privacy = Privacy(hash=["phone"])
    first = privacy.json({"phone": "+49 30 1234"})["phone"]
    # HMAC-SHA256 by OpenSSL: printf '+49 30 1234' | openssl dgst -sha256 -hmac 'key of the test'
    assert first == "hmac:" + OPENSSL_DIGEST[:32]
    assert privacy.json({"phone": first})["phone"] == first
    monkeypatch.setenv("TILTMETER_HASH_KEY", "another key")
    assert Privacy(hash=["phone"]).json({"phone": "+49 30 1234"})["phone"] != first


OPENSSL_DIGEST = "d3196126ef968f089264d829003bdeb8aa5a3b61f940ad9c66bb744017411cbd"


def test_a_missing_value_stays_missing():
    assert Privacy(hash=["phone"]).json({"phone": None}) == {"phone": None}


def test_texts_are_cut():
    assert Privacy(truncate={"notes": 5}).json({"notes": "secret after five", "n": 1}) == {"notes": "secre", "n": 1}


def test_a_hash_without_a_key_is_refused_at_the_start(monkeypatch):
    monkeypatch.delenv("TILTMETER_HASH_KEY")
    with pytest.raises(ConfigError, match="TILTMETER_HASH_KEY"):
        Privacy(hash=["phone"])


def test_a_key_in_clear_text_is_refused_and_not_repeated():
    with pytest.raises(ConfigError) as refused:
        Privacy(hash=["phone"], key="s3cret")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("body", [b"not json", b"\xff", b"email=a%40b.c", b"[" * 100_000])
def test_a_body_that_is_no_json_is_not_stored(body):
    with pytest.raises(ValueError, match="no JSON"):
        Privacy(drop=["email"]).body(body)


def test_logged_values_follow_the_same_rules():
    said = LoggedFields(features={"email": "a@b.c", "x": 1}, entity_id="a@b.c")
    kept = Privacy(drop=["email"], hash=["entity_id"]).logged(said)
    assert kept.features == {"x": 1}
    assert kept.entity_id is not None
    assert kept.entity_id.startswith("hmac:")


def test_columns_of_a_frame_follow_the_same_rules():
    privacy = Privacy(drop=["email"], hash=["phone"], truncate={"notes": 2})
    phones = pa.chunked_array([["1", "2", None, "1"]])
    hashed = private_column(privacy, "phone", phones).to_pylist()
    assert hashed[0] == hashed[3] == privacy.json({"phone": "1"})["phone"]
    assert hashed[2] is None
    assert private_column(privacy, "email", phones) is None
    assert private_column(privacy, "notes", pa.chunked_array([["long"]])).to_pylist() == ["lo"]
    assert private_column(privacy, "x", phones) is phones


names = st.sampled_from(["email", "phone", "x", "nested"])
bodies = st.recursive(
    st.dictionaries(names, st.just("SECRET") | st.integers(), max_size=4),
    lambda children: st.dictionaries(names, children | st.lists(children, max_size=3), max_size=4),
    max_leaves=15,
)


@given(bodies)
def test_no_shape_of_body_lets_a_dropped_field_through(body):
    privacy = Privacy(drop=["email", "phone", "x", "nested"])
    assert b"SECRET" not in privacy.body(json.dumps(body).encode())


def escaped(text: str) -> str:
    """JSON that spells every letter of its keys and values as an escape."""
    return "".join(f"\\u{ord(letter):04x}" if letter.isalpha() else letter for letter in text)


@given(bodies, st.booleans(), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_a_field_is_found_however_its_name_is_spelled(body, spelled_out, encoding):
    parts = json.dumps(body).split('"')  # every second part is a key or a text
    text = '"'.join(escaped(part) if spelled_out and place % 2 else part for place, part in enumerate(parts))
    kept = Privacy(drop=["email", "phone", "x", "nested"]).body(text.encode(encoding))
    assert b"SECRET" not in kept


@given(bodies)
def test_a_body_says_the_same_as_its_value(body):
    privacy = Privacy(drop=["email", "nested.phone"], truncate={"x": 3})
    assert json.loads(privacy.body(json.dumps(body).encode())) == privacy.json(body)


def test_a_body_without_a_named_field_is_stored_as_it_came():
    assert Privacy(drop=["email"]).body(b'{ "x" : 1.50 }') == b'{ "x" : 1.50 }'


PLAIN_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\'), max_size=8)
SCALARS = st.one_of(
    PLAIN_TEXT, st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
)
NAMES = st.one_of(st.sampled_from(["email", "phone", "note", "e", 'm":', "a,b", "{", "["]), PLAIN_TEXT)


@given(
    body=st.dictionaries(NAMES, st.one_of(SCALARS, st.sampled_from(["email", "phone", "note"])), max_size=6),
    rules=st.permutations(["email", "phone", "note", "a,b"]),
    form=st.sampled_from([(None, (",", ":")), (None, (", ", " : ")), (2, None)]),
)
def test_a_body_cut_where_the_fields_stand_says_the_same_as_one_taken_apart(body, rules, form):
    privacy = Privacy(drop=rules[:2], hash=rules[2:3], truncate={rules[3]: 3})
    data = json.dumps(body, indent=form[0], separators=form[1], allow_nan=False).encode()
    assert json.loads(privacy.body(data)) == privacy.json(json.loads(data))


@pytest.mark.parametrize("number", ["1E400", "-0", "1.50", "18446744073709551616", "12345678901234567890123"])
def test_a_number_is_hashed_the_same_where_it_stands_and_taken_apart(number):
    privacy = Privacy(hash=["phone"])
    flat, nested = f'{{"phone": {number}, "x": 1}}', f'{{"phone": {number}, "x": [1]}}'
    found = [json.loads(privacy.body(body.encode()))["phone"] for body in (flat, nested)]
    assert found[0] == found[1]
    assert found[0] is None or found[0].startswith("hmac:")
