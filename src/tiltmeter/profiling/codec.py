"""Profiles, bins and baselines as bytes: versioned, checked, no pickle. Features alone: `feature_codec`."""

from __future__ import annotations

import json
import struct
import zlib
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.profile import Bins, FeatureBins, LevelBins, NumericBins, Profile, TextBins, TextProfile, filled
from tiltmeter.profiling.distinct import HashDistinct
from tiltmeter.profiling.edges import POSITIONS
from tiltmeter.profiling.feature_codec import decode_feature, encode_feature, encode_plain, sum_features
from tiltmeter.profiling.feature_layout import bounded_inflate, inflate
from tiltmeter.profiling.feature_sums import sum_inflated

if TYPE_CHECKING:
    from collections.abc import Iterator

BASELINE_MAGIC = b"tiltmeter baseline\n"
FORMAT = 1
_CHECKSUM_BYTES = 8
_LENGTH = struct.Struct("<Q")
_DOUBLES = struct.Struct("<2d")
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_DAMAGED = (zlib.error, struct.error, ValueError, KeyError, IndexError, TypeError, UnicodeDecodeError, MemoryError)

__all__ = [
    "canonical_bins",
    "canonical_parts",
    "decode_baseline",
    "decode_bins",
    "decode_feature",
    "decode_profile",
    "decode_window",
    "encode_baseline",
    "encode_bins",
    "encode_feature",
    "encode_plain",
    "encode_profile",
    "encode_window",
    "inflate",
    "sum_features",
    "sum_inflated",
]


def encode_window(profile: Profile) -> bytes:
    """What a profile holds besides its features: rows, entities, types, new columns, labels."""
    entities = profile.entities
    if entities is not None and not isinstance(entities, HashDistinct):
        raise TypeError(f"a {type(entities).__name__} cannot be stored")
    facts = {
        "bins_id": profile.bins_id,
        "rows": profile.rows,
        "retyped": dict(sorted(profile.retyped.items())),
        "new_columns": sorted(profile.new_columns),
        "converted": profile.converted,
        "labelled": profile.labelled,
        "has_entities": entities is not None,
        "identified": profile.identified,
    }
    # The state of a text feature is a distinct set with a head of zeros: no form of its own is needed.
    held = b"" if entities is None else encode_feature(TextProfile(0, 0, 0, entities))
    return _sealed([_json(facts), held])


def decode_window(state: bytes) -> Profile:
    """A profile without features.

    Raises:
        StoreError: the bytes are damaged, or of a newer version.
    """
    try:
        facts, held = _opened(state)
        return _window(json.loads(facts), held)
    except _DAMAGED as error:
        raise _damaged("profile", error) from error


def encode_profile(profile: Profile) -> bytes:
    """The whole profile as bytes, without loss."""
    names = sorted(profile.features)
    features = [encode_feature(profile.features[name]) for name in names]
    return _sealed([_json(names), encode_window(profile), *features])


def decode_profile(state: bytes) -> Profile:
    """The profile that was encoded.

    Raises:
        StoreError: the bytes are damaged, or of a newer version.
    """
    try:
        names, window, *features = _opened(state)
        decoded = [decode_feature(one) for one in features]
        profile = decode_window(window)
        by_name = dict(zip(json.loads(names), decoded, strict=True))
    except _DAMAGED as error:
        raise _damaged("profile", error) from error
    return Profile(
        bins_id=profile.bins_id,
        rows=profile.rows,
        features=filled(by_name, profile.rows),  # as written before rows without the column were counted
        entities=profile.entities,
        identified=profile.identified,
        retyped=profile.retyped,
        new_columns=profile.new_columns,
        converted=profile.converted,
        labelled=profile.labelled,
    )


def encode_bins(bins: Bins) -> bytes:
    """Frozen cells as bytes, without loss."""
    return _sealed([_json({"bins_id": bins.bins_id, "fit_rule": bins.fit_rule}), canonical_bins(bins)])


def decode_bins(state: bytes) -> Bins:
    """The cells that were encoded.

    Raises:
        StoreError: the bytes are damaged, or of a newer version.
    """
    try:
        said, cells = _opened(state)
        facts = json.loads(said)
        head, *features = _split(cells)
        roles = json.loads(head)
        decoded = [_decoded_feature(one) for one in features]
        return Bins(
            bins_id=facts["bins_id"],
            features={one.name: one for one in decoded},
            score=roles["score"],
            label=roles["label"],
            entity=roles["entity"],
            fit_rule=facts["fit_rule"],
            others=frozenset(roles["others"]),
        )
    except _DAMAGED as error:
        raise _damaged("baseline", error) from error


def canonical_bins(bins: Bins) -> bytes:
    """Edges, levels, scales and roles in one fixed form, which `bins_id` is the hash of."""
    return b"".join(canonical_parts(bins))


def canonical_parts(bins: Bins) -> Iterator[bytes]:
    """The pieces of `canonical_bins`: roles, then a feature each."""
    roles = {"score": bins.score, "label": bins.label, "entity": bins.entity, "others": sorted(bins.others)}
    yield _joined([_json(roles)])
    for feature in bins.features.values():
        pieces = _pieces(_feature_parts(feature))
        yield b"".join([_LENGTH.pack(sum(map(len, pieces))), *pieces])


def encode_baseline(reference: Reference) -> bytes:
    """A baseline file (`.tmb`): magic, version, name, bins and profile, checksum."""
    facts = {"name": reference.name, "baseline_id": reference.baseline_id}
    return BASELINE_MAGIC + _sealed([_json(facts), encode_bins(reference.bins), encode_profile(reference.profile)])


def decode_baseline(content: bytes) -> Reference:
    """The baseline that was encoded.

    Raises:
        StoreError: the file is no baseline, is damaged, or was written by a newer version.
    """
    if not content.startswith(BASELINE_MAGIC):
        raise StoreError("this is no baseline file", hint="make one with `tiltmeter baseline create`")
    try:
        facts, bins, profile = _opened(content[len(BASELINE_MAGIC) :])
        head = json.loads(facts)
        return Reference(head["name"], head["baseline_id"], decode_bins(bins), decode_profile(profile))
    except _DAMAGED as error:
        raise _damaged("baseline", error) from error


def _window(facts: dict[str, Any], held: bytes) -> Profile:
    entities = decode_feature(held).distinct if facts["has_entities"] else None
    if "identified" not in facts:  # written before rows without an id were counted: no id at all, or one in every row
        facts["identified"] = facts["rows"] if entities is not None and entities.estimate()[0] else 0
    return Profile(
        bins_id=facts["bins_id"],
        rows=facts["rows"],
        features={},
        entities=entities,
        identified=facts["identified"],
        retyped=facts["retyped"],
        new_columns=frozenset(facts["new_columns"]),
        converted=facts["converted"],
        labelled=facts["labelled"],
    )


def _feature_parts(bins: FeatureBins) -> list[bytes]:
    facts: dict[str, Any] = {
        "name": bins.name,
        "kind": bins.kind.value,
        "missing": [_plain(v) for v in bins.missing_values],
    }
    arrays: list[bytes] = []
    cells = bins.cells
    if isinstance(cells, NumericBins):
        facts |= {"iqr": cells.iqr, "z": cells.z, "range": cells.range, "float32": cells.float32}
        if cells.source:  # left out elsewhere: cells that were frozen before it was kept have the same hash
            facts["source"] = cells.source
        arrays = [
            _DOUBLES.pack(cells.center, cells.scale),
            np.asarray(cells.edges, dtype="<f8").tobytes(),
            cells.deciles.astype("<i8").tobytes(),
            cells.fine.astype("<i8").tobytes(),
        ]
    elif isinstance(cells, LevelBins):
        facts |= {"levels": cells.levels, "source": cells.source}
    return [_json(facts), *arrays]


def _decoded_feature(state: bytes) -> FeatureBins:
    head, *arrays = _split(state)
    facts = json.loads(head)
    kind = FeatureKind(facts["kind"])
    cells: NumericBins | LevelBins | TextBins = TextBins()
    if kind.is_binned:
        center, scale = np.frombuffer(arrays[0], "<f8").tolist()
        cells = NumericBins(
            edges=np.frombuffer(arrays[1], "<f8").astype(np.float64),
            deciles=np.frombuffer(arrays[2], "<i8").astype(POSITIONS),
            fine=np.frombuffer(arrays[3], "<i8").astype(POSITIONS),
            iqr=_pair(facts["iqr"]),
            z=_pair(facts["z"]),
            range=_pair(facts["range"]),
            center=center,
            scale=scale,
            float32=facts["float32"],
            source=facts.get("source", ""),
        )
    elif kind.has_levels:
        cells = LevelBins(tuple(facts["levels"]), facts["source"])
    return FeatureBins(facts["name"], kind, cells, tuple(facts["missing"]))


def _pair(positions: list[int] | None) -> tuple[int, int] | None:
    return None if positions is None else (positions[0], positions[1])


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if isinstance(value, str | int | float) else str(value)


def _json(facts: object) -> bytes:
    # Escaped to ASCII: names with lone surrogates have no UTF-8 form.
    return _JSON.encode(facts).encode("ascii")


def _joined(parts: list[bytes]) -> bytes:
    return b"".join(_pieces(parts))


def _pieces(parts: list[bytes]) -> list[bytes]:
    return [piece for part in parts for piece in (_LENGTH.pack(len(part)), part)]


def _split(joined: bytes) -> list[bytes]:
    parts = []
    offset = 0
    while offset < len(joined):
        (length,) = _LENGTH.unpack_from(joined, offset)
        offset += _LENGTH.size
        if offset + length > len(joined):
            raise ValueError("cut short")
        parts.append(joined[offset : offset + length])
        offset += length
    return parts


def _sealed(parts: list[bytes]) -> bytes:
    body = bytes((FORMAT,)) + zlib.compress(_joined(parts), 6)
    return body + blake2b(body, digest_size=_CHECKSUM_BYTES).digest()


def _opened(state: bytes) -> list[bytes]:
    body, checksum = state[:-_CHECKSUM_BYTES], state[-_CHECKSUM_BYTES:]
    if len(body) > 1 and body[0] > FORMAT:
        raise StoreError(
            f"this was written in format {body[0]}; this version reads up to {FORMAT}", hint="upgrade tiltmeter"
        )
    if blake2b(body, digest_size=_CHECKSUM_BYTES).digest() != checksum:
        raise ValueError("checksum differs")
    return _split(bounded_inflate(body[1:]))


def _damaged(what: str, error: Exception) -> StoreError:
    return StoreError(
        f"a stored {what} is damaged ({type(error).__name__}: {error})", hint="restore it from a copy, or make it again"
    )
