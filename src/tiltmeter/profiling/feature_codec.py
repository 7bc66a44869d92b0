"""Compact binary form of one feature's profile; `feature_layout` says which bytes, `feature_sums` adds many."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.profile import FeatureProfile, LevelProfile, NumericProfile, TextProfile
from tiltmeter.profiling.distinct import HashDistinct, LevelDistinct
from tiltmeter.profiling.feature_layout import (
    FROM_NAMES,
    LEVEL_HEADER,
    LEVELS,
    NUMERIC,
    NUMERIC_HEADER,
    TAIL,
    TEXT,
    TEXT_HEADER,
    WIDTHS,
    WORDS,
    deflated_state,
    inflate,
    plain_state,
)
from tiltmeter.profiling.feature_sums import sum_inflated
from tiltmeter.profiling.hashing import hash_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiltmeter.domain.profile import Distinct

_DAMAGED = (zlib.error, struct.error, ValueError, KeyError, IndexError, UnicodeDecodeError, OverflowError, MemoryError)


def encode_feature(profile: FeatureProfile) -> bytes:
    """The profile as few bytes, without loss."""
    return deflated_state(_payload(profile))


def encode_plain(profile: FeatureProfile) -> bytes:
    """The profile as bytes for a file that is compressed as a whole, without loss.

    There the states of many features take no more room than packed one by one, and are read five times as fast.
    """
    return plain_state(_payload(profile))


def _payload(profile: FeatureProfile) -> bytes:
    if isinstance(profile, NumericProfile):
        return _numeric_payload(profile)
    return _level_payload(profile) if isinstance(profile, LevelProfile) else _text_payload(profile)


def decode_feature(state: bytes) -> FeatureProfile:
    """The profile that was encoded.

    Raises:
        StoreError: the bytes are damaged, or of a newer version.
    """
    return sum_features([state])


def sum_features(states: Sequence[bytes]) -> FeatureProfile:
    """The sum of the states of one feature, at least one: the same as adding their profiles, many times faster.

    Raises:
        StoreError: the bytes are damaged, of a newer version, of different kinds, or there are none.
    """
    if not states:
        raise StoreError("there are no states to add", hint="ask for a window that has rows")
    try:
        return sum_inflated([inflate(state) for state in states])
    except _DAMAGED as error:
        raise StoreError(
            f"a stored profile is damaged ({type(error).__name__})", hint="restore the table or profile the hour again"
        ) from error


def _narrowed(counts: np.ndarray) -> tuple[int, bytes]:
    largest = int(counts.max()) if counts.size else 0
    width = 1 if largest < 2**8 else 2 if largest < 2**16 else 4 if largest < 2**32 else 8
    return width, counts.astype(WIDTHS[width]).tobytes()


def _head(
    layout: np.dtype[Any], kind: int, counts: np.ndarray | None, distinct: HashDistinct, facts: dict[str, object]
) -> bytes:
    width, cells = (1, b"") if counts is None else _narrowed(counts)
    head = np.zeros(1, dtype=layout)
    shape = {
        "kind": kind,
        "width": width,
        "registers": distinct.registers is not None,
        "precision": distinct.resolution.precision,
        "bins": 0 if counts is None else counts.size,
        "cap": distinct.resolution.cap,
        "hashes": 0 if distinct.hashes is None else distinct.hashes.size,
    }
    for name, value in (shape | facts).items():
        head[name] = value
    return head.tobytes() + cells + (b"" if distinct.registers is None else distinct.registers.tobytes())


def _numeric_payload(profile: NumericProfile) -> bytes:
    distinct = _own(profile.distinct)
    nothing = profile.minimum is None or profile.maximum is None
    counters = (
        profile.rows,
        profile.missing,
        profile.negative_infinite,
        profile.positive_infinite,
        profile.extreme,
        profile.zeros,
    )
    facts: dict[str, object] = {
        "low": len(profile.low_tail),
        "high": len(profile.high_tail),
        "counters": counters,
        # Without a finite value the neutral elements of minimum and maximum stand here.
        "extremes": (np.inf, -np.inf) if nothing else (profile.minimum, profile.maximum),
        "sums": (_words_of(profile.sum1), _words_of(profile.sum2)),
    }
    return b"".join(
        [
            _head(NUMERIC_HEADER, NUMERIC, profile.counts, distinct, facts),
            _hash_bytes(distinct),
            _tail_bytes(profile.low_tail),
            _tail_bytes(profile.high_tail),
        ]
    )


def _words_of(whole: int) -> np.ndarray:
    return np.frombuffer(whole.to_bytes(4 * WORDS, "little", signed=True), "<u4")


def _tail_bytes(tail: Mapping[int, int]) -> bytes:
    return np.array(sorted(tail.items()), dtype=TAIL).tobytes() if tail else b""


def _hash_bytes(distinct: HashDistinct) -> bytes:
    return b"" if distinct.hashes is None else distinct.hashes.astype("<u8").tobytes()


def _own(distinct: Distinct) -> HashDistinct:
    if not isinstance(distinct, HashDistinct):
        raise TypeError(f"a {type(distinct).__name__} cannot be stored here")
    return distinct


def _level_payload(profile: LevelProfile) -> bytes:
    distinct = profile.distinct
    if not isinstance(distinct, LevelDistinct):
        raise TypeError(f"a {type(distinct).__name__} cannot be stored here")
    names = sorted(profile.new)
    encoded = [name.encode("utf-8", "surrogatepass") for name in names]
    joined = b"".join(encoded)
    derived = distinct.new == HashDistinct.of(hash_names(names), distinct.new.resolution)
    # A set that its names tell is stored as the empty set.
    new = HashDistinct(distinct.new.resolution, np.empty(0, dtype=np.uint64)) if derived else distinct.new
    facts: dict[str, object] = {
        "new": len(names),
        "name_bytes": len(joined),
        "counters": (profile.rows, profile.missing, profile.new_rows),
    }
    if derived:
        facts["hashes"] = FROM_NAMES
    lengths = np.array([len(name) for name in encoded], dtype="<u4").tobytes()
    new_rows = np.array([profile.new[name] for name in names], dtype="<u8").tobytes()
    head = _head(LEVEL_HEADER, LEVELS, profile.counts, new, facts)
    return b"".join([head, _hash_bytes(new), lengths, new_rows, joined])


def _text_payload(profile: TextProfile) -> bytes:
    distinct = _own(profile.distinct)
    facts: dict[str, object] = {"counters": (profile.rows, profile.missing, profile.length_sum)}
    return _head(TEXT_HEADER, TEXT, None, distinct, facts) + _hash_bytes(distinct)
