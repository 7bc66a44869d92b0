"""Distinct counts are a function of the set of values, whatever the order of adding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltmeter.profiling.distinct import COMPARISON, STORED, HashDistinct, Resolution, folded, registers_of
from tiltmeter.profiling.hashing import hash_doubles, hash_integers, hash_names, hash_strings

SMALL = Resolution(cap=8, precision=4)
words = st.lists(st.integers(0, 2**64 - 1), max_size=30).map(lambda one: np.array(one, dtype=np.uint64))


@given(st.lists(words, min_size=1, max_size=6), st.randoms())
@settings(deadline=None)
def test_any_partition_and_order_gives_the_same_bits(parts, random):
    whole = HashDistinct.of(np.concatenate(parts), SMALL)
    random.shuffle(parts)
    total = HashDistinct.of(parts[0], SMALL)
    for part in parts[1:]:
        total = HashDistinct.of(part, SMALL) + total
    assert total == whole


@given(words, words)
@settings(deadline=None)
def test_a_union_of_two_resolutions_is_the_coarser_one_of_all(one, other):
    coarse, fine = Resolution(4, 4), Resolution(8, 6)
    union = HashDistinct.of(one, fine) + HashDistinct.of(other, coarse)
    assert union == HashDistinct.of(np.concatenate([one, other]), coarse)


@pytest.mark.parametrize("precision", [8, 12])
@pytest.mark.parametrize("size", [200, 5_000, 200_000])
def test_the_sketch_keeps_its_stated_error(precision, size):
    errors = []
    for seed in range(12):
        values = np.random.default_rng(seed).normal(size=size)
        count, error = HashDistinct.of(hash_doubles(values), Resolution(0, precision)).estimate()
        errors.append((count - size) / size)
    assert error == pytest.approx(1.04 / 2 ** (precision / 2))
    assert abs(np.mean(errors)) < 3 * error / np.sqrt(len(errors)) + 1 / size
    assert np.sqrt(np.mean(np.square(errors))) < 1.7 * error


def test_up_to_the_cap_the_count_is_exact():
    values = np.arange(COMPARISON.cap, dtype=np.float64)
    assert HashDistinct.of(hash_doubles(values)).estimate() == (COMPARISON.cap, 0.0)
    count, error = HashDistinct.of(hash_doubles(np.arange(COMPARISON.cap + 1.0))).estimate()
    assert error > 0
    assert count == pytest.approx(COMPARISON.cap, rel=4 * error)


def test_nothing_is_counted_as_nothing():
    empty = np.empty(0, dtype=np.uint64)
    assert HashDistinct.of(empty, STORED).estimate() == (0, 0.0)
    assert HashDistinct(STORED, None, np.zeros(256, np.uint8)).estimate()[0] == 0


@given(words)
@settings(deadline=None)
def test_folding_registers_equals_fewer_registers_from_the_start(hashes):
    assert np.array_equal(folded(registers_of(hashes, 9), 4), registers_of(hashes, 5))


def test_registers_hold_the_run_of_zeros_and_the_one_behind_it():
    # precision 4: top four bits 0b0011 choose register 3; below, 60 bits: 1 << 57 has two zeros in front.
    registers = registers_of(np.array([(3 << 60) | (1 << 57)], dtype=np.uint64), 4)
    assert registers[3] == 3
    assert registers.sum() == 3
    assert registers_of(np.array([0], dtype=np.uint64), 4)[0] == 61


def test_equal_numbers_of_different_types_hash_alike_and_big_integers_apart():
    whole = np.array([0, 1, -7, 2**53], dtype=np.int64)
    assert np.array_equal(hash_integers(whole), hash_doubles(whole.astype(np.float64)))
    big = np.array([2**53 + 1, 2**53 + 2, 2**63 - 1, 2**63 - 2], dtype=np.int64)
    assert len(set(hash_integers(big).tolist())) == 4
    huge = np.array([2**64 - 1, 2**64 - 2], dtype=np.uint64)
    assert len(set(hash_integers(huge).tolist())) == 2
    assert hash_doubles(np.array([-0.0])) == hash_doubles(np.array([0.0]))


@given(st.lists(st.text(max_size=40), min_size=1, max_size=20))
@settings(deadline=None)
def test_strings_hash_alike_wherever_they_stand(names):
    together = hash_names(names)
    apart = np.concatenate([hash_names([name]) for name in names])
    assert np.array_equal(together, apart)
    assert len(set(together.tolist())) == len(set(names))


def test_strings_around_the_length_of_words_and_of_the_long_form_differ():
    names = ["", "\x00", *("a" * size for size in (1, 7, 8, 9, 15, 16, 17, 511, 512, 513, 1_000, 100_000))]
    names += ["a" * 1_000 + "b", "b" + "a" * 1_000]
    assert len(set(hash_names(names).tolist())) == len(names)


def test_a_slice_of_an_arrow_array_hashes_like_its_values():
    import pyarrow as pa

    array = pa.array(["x", "yy", None, "zzz"])
    assert np.array_equal(hash_strings(array.slice(1)), hash_strings(pa.array(["yy", None, "zzz"])))


def test_hashes_are_spread_evenly():
    hashes = hash_doubles(np.arange(200_000.0))
    ones = np.unpackbits(hashes.view(np.uint8)).mean()
    assert ones == pytest.approx(0.5, abs=0.002)
    per_bucket = np.bincount(hashes >> np.uint64(56), minlength=256)
    assert per_bucket.min() > 650, "781 expected in each of 256 buckets"
