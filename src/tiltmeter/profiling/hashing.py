"""64-bit hashes of values: the same on every engine and machine, so that distinct counts merge to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tiltmeter.profiling.buffers import bytes_array

if TYPE_CHECKING:
    from collections.abc import Sequence

# Increments and multipliers of the SplitMix64 generator (Steele, Lea, Flood 2014, OOPSLA, "Fast splittable
# pseudorandom number generators"), whose finaliser changes half of the output bits for any input bit.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)

# Integers that no double holds get hashes of their own, apart from doubles with the same bits.
BIG_INTEGER_SALT = np.uint64(0x5851F42D4C957F2D)

# Strings up to this many bytes are hashed side by side, one word of all strings at a time; longer ones one by one.
_LONG_BYTES = 512


def mixed(words: np.ndarray) -> np.ndarray:
    """SplitMix64 finaliser of each uint64 word."""
    with np.errstate(over="ignore"):
        z = words + GOLDEN
        z = (z ^ (z >> np.uint64(30))) * MIX_1
        z = (z ^ (z >> np.uint64(27))) * MIX_2
    return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)


def hash_doubles(values: np.ndarray) -> np.ndarray:
    """Hash of each float64; -0.0 hashes like 0.0."""
    return mixed((values + 0.0).view(np.uint64))


def hash_integers(values: np.ndarray) -> np.ndarray:
    """Hash of each int64 or uint64: that of the equal double where there is one below 2^53, else of its own bits."""
    as_double = values.astype(np.float64)
    hashes = hash_doubles(as_double)
    # Compared as integers: 2^53 + 1 has no double and rounds to 2^53.
    big = (values > 2**53) | (values < -(2**53)) if values.dtype.kind == "i" else values > 2**53
    if big.any():
        hashes[big] = mixed(values[big].astype(np.uint64) ^ BIG_INTEGER_SALT)
    return hashes


def hash_names(names: Sequence[str]) -> np.ndarray:
    """Hash of each string, shape (names,)."""
    if not names:  # the usual case of new levels, asked for every feature of every hour
        return np.empty(0, dtype=np.uint64)
    encoded = [name.encode("utf-8", "surrogatepass") for name in names]
    return hash_strings(bytes_array(encoded))


def hash_strings(array: pa.Array) -> np.ndarray:
    """Hash of the bytes of each value of a string or binary array; null slots hash like the empty string.

    The hash of bytes b₀ … is mix(length + Σⱼ mix(wordⱼ + j·golden)), words little-endian and padded with zeros.
    """
    wide = array.cast(pa.large_binary())
    if wide.null_count:
        wide = wide.fill_null(b"")
    _, offsets_buffer, data_buffer = wide.buffers()
    if len(wide) == 0:
        return np.empty(0, dtype=np.uint64)
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[wide.offset : wide.offset + len(wide) + 1]
    starts, lengths = offsets[:-1], np.diff(offsets)
    data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer else np.empty(0, dtype=np.uint8)
    data = np.concatenate([data[offsets[0] : offsets[-1]], np.zeros(8, dtype=np.uint8)])
    totals = _word_sums(data, starts - offsets[0], lengths)
    with np.errstate(over="ignore"):
        return mixed(totals + lengths.astype(np.uint64))


def _word_sums(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    totals = np.zeros(lengths.size, dtype=np.uint64)
    # Every 8-byte window of the data, overlapping: reading at any byte position is then one gather.
    windows = np.ndarray((data.size - 7,), dtype="<u8", buffer=data, strides=(1,))
    short = np.flatnonzero((lengths > 0) & (lengths <= _LONG_BYTES))
    word = 0
    with np.errstate(over="ignore"):
        while short.size:
            left = np.minimum(lengths[short] - 8 * word, 8).astype(np.uint64)
            mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - left * np.uint64(8))
            found = windows[starts[short] + 8 * word] & mask
            totals[short] += mixed(found + np.uint64(word) * GOLDEN)
            word += 1
            short = short[lengths[short] > 8 * word]
        for row in np.flatnonzero(lengths > _LONG_BYTES):
            totals[row] = _long_sum(data[starts[row] : starts[row] + lengths[row]])
    return totals


def _long_sum(data: np.ndarray) -> np.uint64:
    padded = np.concatenate([data, np.zeros(-data.size % 8, dtype=np.uint8)])
    words = padded.view("<u8")
    with np.errstate(over="ignore"):
        salted = words + np.arange(words.size, dtype=np.uint64) * GOLDEN
        return np.uint64(mixed(salted).sum(dtype=np.uint64))
