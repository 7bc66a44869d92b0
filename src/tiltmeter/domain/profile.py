"""The narrow waist: integer counts of a window per frozen bin. Profiles add; statistics read nothing else.

Every number in a profile is an integer, a set-like sketch, or an extreme, so that any partition of the rows merged in
any order gives the same profile to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeVar
from zlib import crc32

import numpy as np

from tiltmeter.domain.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.feature import FeatureKind

_Key = TypeVar("_Key")

KERNEL_VERSION = 1
"""Meaning of the integers in a state; raised when the same rows would give other integers."""

TAIL_STEPS = 328
"""Log bins beyond the baseline's range on each side: limits max + s·2^(i/8 − 2), i = 0 … 327."""

NEW_LEVEL_CAP = 10_000
"""New levels kept by name in one profile."""


@dataclass(frozen=True, slots=True, eq=False)
class NumericBins:
    """Frozen cells of a number or datetime (epoch seconds): bin i is `(edges[i-1], edges[i]]`, outer bins open.

    Args:
        edges: all edges in one ascending float64 vector without repeats: decile and fine edges, fences, pred(min), max.
        deciles: positions in `edges` of the decile edges (PSI, KL, JS).
        fine: positions in `edges` of the fine edges (KS, quantiles, pictures).
        iqr: positions of pred(Q1 - 1.5 IQR) and Q3 + 1.5 IQR; None when IQR is 0.
        z: positions of pred(mean - 3 std) and mean + 3 std; None when std is 0 or unknown.
        range: positions of pred(min) and max; None when the baseline has no finite value.
        center: c of the exact sums, the baseline's median.
        scale: s of the exact sums, a power of two.
        float32: whether values are rounded to float32 before they are counted.
        source: what the baseline's column held where it is not what the kind says and somebody insisted on the kind:
            `text`, `numeric`, `boolean` or `datetime`. Windows of it are converted as the baseline was.
    """

    edges: np.ndarray
    deciles: np.ndarray
    fine: np.ndarray
    iqr: tuple[int, int] | None
    z: tuple[int, int] | None
    range: tuple[int, int] | None
    center: float
    scale: float
    float32: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class LevelBins:
    """Frozen levels of a categorical or boolean feature, by falling baseline count (ties by name), at most the cap.

    Args:
        levels: names.
        source: what the column held: `text`, `numeric`, `boolean`, `datetime`, or `any` where all values were
            missing or files disagreed. A window of another type is a type change.
    """

    levels: tuple[str, ...]
    source: str = "text"


@dataclass(frozen=True, slots=True, eq=False)
class TextBins:
    """Free text and identifiers: nothing is frozen but the kind."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureBins:
    """One feature's frozen cells.

    Args:
        name: column name; hostile text.
        kind: how the feature is profiled.
        cells: edges, levels or nothing.
        missing_values: values counted as missing besides null and NaN, as they appear in the column.
    """

    name: str
    kind: FeatureKind
    cells: NumericBins | LevelBins | TextBins
    missing_values: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """All frozen cells of a baseline. `bins_id` is the hash of edges, levels and scales.

    Args:
        bins_id: 16 hexadecimal characters.
        features: by name, score included.
        score: name of the score among the features, or "".
        label: name of the label column, or "".
        entity: name of the entity column, or "".
        fit_rule: which rows made the bins, in words.
        others: columns that are known and no features (ignored, time, label, entity): never "new".
    """

    bins_id: str
    features: Mapping[str, FeatureBins]
    score: str = ""
    label: str = ""
    entity: str = ""
    fit_rule: str = "all rows"
    others: frozenset[str] = frozenset()


class Distinct(Protocol):
    """Number of different values: exact up to a cap, then a sketch. Adding is union, in any order."""

    def estimate(self) -> tuple[int, float]:
        """Count and its relative standard error (0.0 while exact)."""
        ...

    def __add__(self, other: Distinct) -> Distinct:
        """Union."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class NumericProfile:
    """Integer state of a numeric or datetime feature.

    Args:
        rows: rows of the window, missing included.
        missing: null, NaN and declared missing values.
        negative_infinite: rows at -inf, counted in the first bin as well.
        positive_infinite: rows at +inf, counted in the last bin as well.
        extreme: finite values with |z| > 2^40, left out of both sums.
        zeros: values equal to 0.
        sum1: Σ q₁, fixed point of z = (x - center)/scale with 40 fraction bits; unbounded integer.
        sum2: Σ q₂ of z² likewise.
        minimum: smallest finite value; None without one.
        maximum: largest finite value.
        counts: rows per bin, signed integers as wide as `rows` needs, shape (edges + 1,); missing left out.
        low_tail: rows per log bin below the baseline's minimum, by index 0 … 328 (328: beyond the last limit).
            Bin i is `(limit[i], limit[i-1]]` with limit[i] = min − s·2^(i/8 − 2); -inf is in the last one.
        high_tail: rows per log bin above the baseline's maximum, likewise; bin i is `(limit[i-1], limit[i]]`.
        distinct: of non-missing values.
    """

    rows: int
    missing: int
    negative_infinite: int
    positive_infinite: int
    extreme: int
    zeros: int
    sum1: int
    sum2: int
    minimum: float | None
    maximum: float | None
    counts: np.ndarray
    low_tail: Mapping[int, int]
    high_tail: Mapping[int, int]
    distinct: Distinct

    def __add__(self, other: NumericProfile) -> NumericProfile:
        """The profile of both windows' rows together."""
        return NumericProfile(
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            negative_infinite=self.negative_infinite + other.negative_infinite,
            positive_infinite=self.positive_infinite + other.positive_infinite,
            extreme=self.extreme + other.extreme,
            zeros=self.zeros + other.zeros,
            sum1=self.sum1 + other.sum1,
            sum2=self.sum2 + other.sum2,
            minimum=_least(self.minimum, other.minimum),
            maximum=_greatest(self.maximum, other.maximum),
            counts=np.add(self.counts, other.counts, dtype=counts_type(self.rows + other.rows)),
            low_tail=_added(self.low_tail, other.low_tail),
            high_tail=_added(self.high_tail, other.high_tail),
            distinct=self.distinct + other.distinct,
        )


def counts_type(rows: int) -> type[np.signedinteger]:
    """The narrowest signed integers that hold so many rows: ten thousand features of 2,000 bins take 40 MB, not 160."""
    return np.int16 if rows < 2**15 else np.int32 if rows < 2**31 else np.int64


@dataclass(frozen=True, slots=True, eq=False)
class LevelProfile:
    """Integer state of a categorical or boolean feature.

    Args:
        rows: rows of the window, missing included.
        missing: null and declared missing values.
        counts: rows per baseline level, int64, in the order of `LevelBins.levels`.
        new: rows per level the baseline lacks; beyond the cap only the levels with the smallest hashes are named,
            which merges exactly.
        new_rows: rows in any new level, named or not.
        distinct: of non-missing levels.
    """

    rows: int
    missing: int
    counts: np.ndarray
    new: Mapping[str, int]
    new_rows: int
    distinct: Distinct

    def __add__(self, other: LevelProfile) -> LevelProfile:
        """The profile of both windows' rows together."""
        return LevelProfile(
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            counts=self.counts + other.counts,
            new=capped_levels(_added(self.new, other.new)),
            new_rows=self.new_rows + other.new_rows,
            distinct=self.distinct + other.distinct,
        )


@dataclass(frozen=True, slots=True, eq=False)
class TextProfile:
    """Integer state of free text or an identifier: missing, total length in characters, distinct."""

    rows: int
    missing: int
    length_sum: int
    distinct: Distinct

    def __add__(self, other: TextProfile) -> TextProfile:
        """The profile of both windows' rows together."""
        return TextProfile(
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            length_sum=self.length_sum + other.length_sum,
            distinct=self.distinct + other.distinct,
        )


FeatureProfile = NumericProfile | LevelProfile | TextProfile


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """What is known of one window: everything any statistic may read.

    Args:
        bins_id: the bins that the counts belong to; profiles of different bins do not add.
        rows: rows of the window.
        entities: distinct entities, None where no entity id is known.
        identified: rows with an entity id; every other row is an entity of its own.
        features: by name; a feature that is gone or retyped has no entry.
        retyped: features whose type clashes with the bins: name -> what was found.
        new_columns: columns that the bins do not know.
        converted: rows with a converted label; None without a label.
        labelled: rows with any label; None without a label.
    """

    bins_id: str
    rows: int
    features: Mapping[str, FeatureProfile]
    entities: Distinct | None = None
    identified: int = 0
    retyped: Mapping[str, str] = field(default_factory=dict)
    new_columns: frozenset[str] = frozenset()
    converted: int | None = None
    labelled: int | None = None

    def __add__(self, other: Profile) -> Profile:
        """The profile of both windows' rows together; where one side lacks a feature, its rows are missing in it.

        Raises:
            DataError: the profiles belong to different bins.
        """
        if self.bins_id != other.bins_id:
            raise DataError(
                f"profiles of different bins do not add: {self.bins_id} and {other.bins_id}",
                hint="profile both windows with the same baseline",
            )
        rows = self.rows + other.rows
        return Profile(
            bins_id=self.bins_id,
            rows=rows,
            features=filled(_added_features(self.features, other.features), rows),
            entities=_union(self.entities, other.entities),
            identified=self.identified + other.identified,
            retyped=_added_words(self.retyped, other.retyped),
            new_columns=self.new_columns | other.new_columns,
            converted=_total(self.converted, other.converted),
            labelled=_total(self.labelled, other.labelled),
        )


def capped_levels(levels: dict[str, int], cap: int = NEW_LEVEL_CAP) -> dict[str, int]:
    """The levels with the smallest hashes, at most `cap`.

    A level that is among the smallest of a union is among the smallest of each part that holds it, so its rows stay
    exact whatever the order of adding.
    """
    if len(levels) <= cap:
        return levels
    names = list(levels)
    order = np.fromiter((crc32(name.encode("utf-8", "surrogatepass")) for name in names), np.uint32, len(names))
    limit = np.partition(order, cap - 1)[cap - 1]
    kept = [names[position] for position in np.flatnonzero(order < limit)]
    # Names of the same hash stand in the order of the alphabet.
    ties = sorted(names[position] for position in np.flatnonzero(order == limit))
    return {name: levels[name] for name in [*kept, *ties[: cap - len(kept)]]}


def filled(features: Mapping[str, FeatureProfile], rows: int) -> dict[str, FeatureProfile]:
    """Features of a window of so many rows: those without a column for a feature are missing in it."""
    return {name: with_absent(profile, rows - profile.rows) for name, profile in features.items()}


def with_absent(profile: FeatureProfile, absent: int) -> FeatureProfile:
    """The profile with so many more rows that hold no value."""
    if absent <= 0:
        return profile
    return replace(profile, rows=profile.rows + absent, missing=profile.missing + absent)


def _added_features(
    one: Mapping[str, FeatureProfile], other: Mapping[str, FeatureProfile]
) -> dict[str, FeatureProfile]:
    total = dict(one)
    for name, profile in other.items():
        mine = total.get(name)
        total[name] = profile if mine is None else _added_feature(name, mine, profile)
    return total


def _added_feature(name: str, one: FeatureProfile, other: FeatureProfile) -> FeatureProfile:
    if isinstance(one, NumericProfile) and isinstance(other, NumericProfile):
        return one + other
    if isinstance(one, LevelProfile) and isinstance(other, LevelProfile):
        return one + other
    if isinstance(one, TextProfile) and isinstance(other, TextProfile):
        return one + other
    raise DataError(f'profiles of "{name}" are of different kinds', hint="profile both windows with the same baseline")


def _union(one: Distinct | None, other: Distinct | None) -> Distinct | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _added_words(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    total = dict(one)
    for name, words in other.items():
        found = {*total[name].split(", "), *words.split(", ")} if name in total else {words}
        total[name] = ", ".join(sorted(found))
    return total


def _total(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _least(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _greatest(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _added(one: Mapping[_Key, int], other: Mapping[_Key, int]) -> dict[_Key, int]:
    total = dict(one)
    for key, rows in other.items():
        total[key] = total.get(key, 0) + rows
    return total
