"""Stored states: without loss, small, added without being built, and refused when damaged or newer."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.profile import LevelProfile
from tiltmeter.engines.local.tables import TableRows
from tiltmeter.profiling import codec
from tiltmeter.profiling.distinct import STORED, STORED_ENTITIES
from tiltmeter.profiling.feature_layout import deflated_state, inflate, plain_state
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kernel import Counter, profile_rows
from tiltmeter.statistics.tested import rows_tested


def table(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "amount": np.where(rng.random(rows) < 0.02, np.inf, rng.lognormal(1, 2, rows)),
            "count": rng.integers(0, 5, rows),
            "plan": pa.array([f"plan-{i}" for i in rng.zipf(1.5, rows) % 300]),
            "note": pa.array([f"n{i}" for i in range(rows)]),
            "id": pa.array([f"l{i}" for i in rng.integers(0, rows, rows)]),
        }
    )


@pytest.fixture(scope="module")
def bins():
    return fit_bins(TableRows(table(2_500, 0)), ColumnRoles(entity="id"))


def hourly(bins, rows: int, seed: int):
    counter = Counter(bins, STORED, STORED_ENTITIES)
    batches = table(rows, seed).combine_chunks().to_batches()
    return counter.count(counter.plain(batches[0])) if batches else counter.schema_profile(table(1, 0).schema)


def test_a_profile_comes_back_as_it_was(bins):
    profile = profile_rows(TableRows(table(3_000, 1)), bins)
    state = codec.encode_profile(profile)
    back = codec.decode_profile(state)
    assert codec.encode_profile(back) == state
    assert back.features["plan"].new == profile.features["plan"].new
    assert back.entities.estimate() == profile.entities.estimate()
    assert back.features["amount"].sum2 == profile.features["amount"].sum2
    assert back.features["amount"].high_tail == profile.features["amount"].high_tail


def test_bins_come_back_as_they_were(bins):
    back = codec.decode_bins(codec.encode_bins(bins))
    assert codec.encode_bins(back) == codec.encode_bins(bins)
    assert back.bins_id == bins.bins_id
    assert back.features["amount"].cells.iqr == bins.features["amount"].cells.iqr


def test_a_baseline_file_comes_back_as_it_was(bins):
    reference = Reference("training", "b1", bins, profile_rows(TableRows(table(500, 3)), bins))
    content = codec.encode_baseline(reference)
    assert codec.encode_baseline(codec.decode_baseline(content)) == content
    with pytest.raises(StoreError, match="no baseline"):
        codec.decode_baseline(b"PAR1" + content)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_adding_states_equals_adding_profiles(bins, sizes, seed):
    profiles = [hourly(bins, size, seed + i) for i, size in enumerate(sizes)]
    total = reduce(add, profiles)
    for name, feature in total.features.items():
        # Packed and plain states, as tables of two releases hold them, add alike.
        encodings = (codec.encode_feature, codec.encode_plain)
        states = [encodings[i % 2](one.features[name]) for i, one in enumerate(profiles)]
        assert codec.encode_feature(codec.sum_features(states)) == codec.encode_feature(feature)


def test_more_states_than_a_block_holds_add(bins):
    for name in bins.features:
        states = [codec.encode_plain(hourly(bins, rows, rows).features[name]) for rows in (400, 30)]
        total = codec.sum_features(states * 300)
        one = [codec.decode_feature(state) for state in states]
        assert total.rows == 300 * sum(side.rows for side in one)
        if hasattr(total, "counts"):
            assert (total.counts == 300 * (one[0].counts + one[1].counts)).all()
        assert total.distinct == one[0].distinct + one[1].distinct


def test_counts_of_different_width_add(bins):
    profiles = [hourly(bins, rows, rows) for rows in (3, 5_000, 70_000)]
    for name in bins.features:
        states = [codec.encode_feature(one.features[name]) for one in profiles]
        total = codec.sum_features(states)
        assert codec.encode_feature(total) == codec.encode_feature(reduce(add, (p.features[name] for p in profiles)))


def test_new_level_names_of_any_text_survive():
    names = ["", "\x00", "💥", "\ud800", "a" * 256]
    counts = np.array([1, 2], dtype=np.int64)
    from tiltmeter.profiling.distinct import HashDistinct, LevelDistinct
    from tiltmeter.profiling.hashing import hash_names

    distinct = LevelDistinct(counts > 0, HashDistinct.of(hash_names(names)))
    profile = LevelProfile(10, 2, counts, dict.fromkeys(names, 1), 5, distinct)
    back = codec.decode_feature(codec.encode_feature(profile))
    assert back.new == profile.new
    assert back.distinct == distinct


def test_extreme_sums_survive(bins):
    from dataclasses import replace

    profile = profile_rows(TableRows(table(10, 1)), bins).features["amount"]
    for sum1, sum2 in ((-(2**140), 2**170), (2**140, 0), (0, 1), (-1, 2**188)):
        state = codec.encode_feature(replace(profile, sum1=sum1, sum2=sum2))
        total = codec.sum_features([state, state, state])
        assert (total.sum1, total.sum2) == (3 * sum1, 3 * sum2)


def test_a_newer_format_is_refused_with_what_to_do(bins):
    state = codec.encode_feature(hourly(bins, 10, 1).features["count"])
    for newer in (bytes([9]) + state[1:], state[:1] + bytes([9]) + state[2:]):
        with pytest.raises(StoreError, match="upgrade tiltmeter"):
            codec.decode_feature(newer)
    with pytest.raises(StoreError, match="upgrade tiltmeter"):
        codec.decode_bins(bytes([9]) + codec.encode_bins(bins)[1:])


@pytest.mark.parametrize("decode", ["feature", "plain", "profile", "window", "bins", "baseline"])
def test_damaged_bytes_are_one_clear_error(bins, decode):
    profile = hourly(bins, 200, 5)
    state, read = {
        "feature": (codec.encode_feature(profile.features["amount"]), codec.decode_feature),
        "plain": (codec.encode_plain(profile.features["amount"]), codec.decode_feature),
        "profile": (codec.encode_profile(profile), codec.decode_profile),
        "window": (codec.encode_window(profile), codec.decode_window),
        "bins": (codec.encode_bins(bins), codec.decode_bins),
        "baseline": (codec.encode_baseline(Reference("a", "b", bins, profile)), codec.decode_baseline),
    }[decode]
    rng = np.random.default_rng(1)
    for _ in range(60):
        cut = state[: int(rng.integers(0, len(state)))]
        flipped = bytearray(state)
        flipped[int(rng.integers(2, len(state)))] ^= 1 << int(rng.integers(0, 8))
        for broken in (cut, bytes(flipped)):
            with pytest.raises(StoreError):
                read(broken)


@pytest.mark.parametrize("pack", [plain_state, deflated_state])
@pytest.mark.parametrize("feature", ["amount", "plan"])
def test_a_payload_that_ends_anywhere_is_one_clear_error(bins, feature, pack):
    """Checksum and packing are sound, what they hold is not: a writer that broke off, or a foreign one."""
    payload = inflate(codec.encode_feature(hourly(bins, 30, 5).features[feature]))
    for end in range(len(payload)):
        with pytest.raises(StoreError, match="damaged"):
            codec.decode_feature(pack(payload[:end]))


def test_states_of_different_bins_do_not_add(bins):
    other = fit_bins(TableRows(table(700, 9)), ColumnRoles(entity="id"))
    one = codec.encode_feature(hourly(bins, 50, 1).features["amount"])
    two = codec.encode_feature(hourly(other, 50, 1).features["amount"])
    with pytest.raises(StoreError, match="different"):
        codec.sum_features([one, two])
    with pytest.raises(StoreError, match="no states"):
        codec.sum_features([])


def test_an_hour_without_rows_is_stored_too(bins):
    empty = profile_rows(TableRows(table(0, 1)), bins)
    back = codec.decode_profile(codec.encode_profile(empty))
    assert back.rows == 0
    assert back.features["amount"].minimum is None


SOME_IDS = (
    "01789cab6280806aa5a4ccbce2f8cc14252b25b314336363e314f3a414a3c494442353251da5e4fcbcb2d4a29254a0745e694e8e8e524662717c"
    "6a5e496649666ab19255495169aa8e524e62526a4e0e424d5e6a797c727e4e696e1e504974ac8e52516a49650148beba16c8c92f070a9bd6aa43"
    "5dc0c8583127392de5412243139b425ad201de33f652ad46ba7b9f2b9c3039abf96bdd655186c044760700f00c394e5be2c26d88822930"
)
NO_IDS = (
    "01789cab6280806aa5a4ccbce2f8cc14252b25b314336363e314f3a414a3c494442353251da5e4fcbcb2d4a29254a0745e694e8e8e524662717c"
    "6a5e496649666ab19255495169aa8e524e62526a4e0e424d5e6a797c727e4e696e1e504974ac8e52516a49650148beba16c8c92f070a9bd68a40"
    "5dc0c8583127392de5412243131bdb1f0606a166868900ea4f30666dbbc87fb97d3b7d"
)
"""Five rows as an earlier version stored them: ids a, a, b, none, b, and no id at all."""


def test_states_from_before_rows_without_an_id_were_counted_are_read():
    some, none = (codec.decode_window(bytes.fromhex(state)) for state in (SOME_IDS, NO_IDS))
    assert (some.rows, some.entities.estimate(), rows_tested(some)) == (5, (2, 0.0), 2)
    assert (none.rows, none.entities.estimate(), rows_tested(none)) == (5, (0, 0.0), 5)
    assert rows_tested(some + none) == 7
    assert codec.encode_window(codec.decode_window(codec.encode_window(some))) == codec.encode_window(some)
