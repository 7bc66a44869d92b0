"""Baselines and comparisons for Python users."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tiltmeter.api.collecting import without_collection
from tiltmeter.api.columns import checked_names, checked_twins, checked_weights, roles_of, share_columns
from tiltmeter.api.files import write_bytes
from tiltmeter.api.judging import judge
from tiltmeter.api.result import Result
from tiltmeter.api.root_cause import with_causes
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.errors import StoreError, UnreadableData
from tiltmeter.domain.profile import Bins, Profile
from tiltmeter.domain.window import Grain, Window
from tiltmeter.engines import ENGINES
from tiltmeter.engines.local import open_rows
from tiltmeter.engines.local.parquet_files import kept_in_memory
from tiltmeter.engines.local.tables import LeftOut
from tiltmeter.profiling.codec import decode_baseline, encode_baseline
from tiltmeter.statistics.comparison import compare as compared

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from tiltmeter.domain.comparison import Comparison
    from tiltmeter.domain.feature import ColumnRoles, FeatureKind
    from tiltmeter.domain.rule import Rule
    from tiltmeter.ports import Engine, Rows


@dataclass(slots=True)
class Notes:
    """Collects what readers say about the data; columns that were left out are known by name."""

    lines: list[str]
    left_out: set[str]

    @classmethod
    def empty(cls) -> Notes:
        """Nothing said yet."""
        return cls([], set())

    def take(self, line: str) -> None:
        """Keep one line."""
        self.lines.append(line)
        if isinstance(line, LeftOut):
            self.left_out.update(line.names)


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A frozen reference: kinds, edges, levels, moments, and the reference rows counted in them."""

    reference: Reference
    engine: Engine

    @classmethod
    def fit(
        cls,
        reference: object,
        *,
        features: Sequence[str] | None = None,
        ignore: Iterable[str] = (),
        kinds: Mapping[str, str | FeatureKind] | None = None,
        missing_values: Mapping[str, Sequence[object]] | None = None,
        score: str | None = None,
        label: str | None = None,
        entity: str | None = None,
        engine: str = "local",
    ) -> Baseline:
        """Freeze a reference.

        Args:
            reference: a path, a Delta table (`path` or `path@version`), or a data frame.
            features: columns to compare; every column without another part by default.
            ignore: columns to leave out.
            kinds: kinds you insist on, such as `{"zip": "categorical"}`.
            missing_values: values that mean "missing", per column, such as `{"pdays": [999]}`.
            score: column of the model's output.
            label: column of the outcome.
            entity: column of the id whose rows belong together; tests then count ids, not rows.
            engine: `local` or `spark`.

        Raises:
            UsageError: a named column or kind does not exist.
            DataError: the data cannot be read or has no rows.
        """
        notes = Notes.empty()
        rows = open_rows(reference, note=notes.take)
        names = set(rows.schema.names)
        roles = roles_of(
            features=features, ignore=ignore, kinds=kinds, missing_values=missing_values, score=score, label=label,
            entity=entity,
        )  # fmt: skip
        checked_names(roles, reference=names, current=names, twins=notes.left_out)
        return cls.of_rows(rows, roles, engine=engine)

    @classmethod
    def of_rows(cls, rows: Rows, roles: ColumnRoles, *, engine: str = "local", fit_on: Rows | None = None) -> Baseline:
        """Freeze rows that are open already.

        Args:
            rows: the reference.
            roles: which column plays which part.
            engine: name of the engine.
            fit_on: other rows to freeze kinds, edges and levels from.
        """
        runner: Engine = ENGINES.load(engine)()
        if fit_on is None:
            rows = kept_in_memory(rows)  # read twice: to freeze the cells, and to count in them
        bins = runner.fit(fit_on or rows, roles)
        profile = runner.profile(rows, bins)
        return cls(Reference(rows.name, bins.bins_id, bins, profile), runner)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, engine: str = "local") -> Baseline:
        """A baseline that was saved.

        Raises:
            UnreadableData: the file is not there.
            StoreError: the file is no baseline, or damaged.
        """
        place = Path(path)
        try:
            content = place.read_bytes()
        except OSError as error:
            raise UnreadableData(f"the baseline cannot be read ({error.strerror})", at=str(place)) from error
        try:
            return cls(decode_baseline(content), ENGINES.load(engine)())
        except StoreError as error:
            raise StoreError(error.what, at=str(place), hint=error.hint) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the baseline to a file, by custom `.tmb`.

        Raises:
            StoreError: the place cannot be written.
        """
        write_bytes(Path(path), encode_baseline(self.reference))

    @property
    def bins(self) -> Bins:
        """The frozen cells."""
        return self.reference.bins

    def without(self, names: Collection[str]) -> Baseline:
        """The baseline as if these columns had been ignored: they are neither judged nor new."""
        bins, profile = self.bins, self.reference.profile
        left_out = {*names} - {bins.score, bins.label, bins.entity}
        kept = {name: cells for name, cells in bins.features.items() if name not in left_out}
        counted = {name: counts for name, counts in profile.features.items() if name not in left_out}
        bins = replace(bins, features=kept, others=bins.others | left_out)
        return replace(self, reference=replace(self.reference, bins=bins, profile=replace(profile, features=counted)))

    def profile(self, data: object) -> Profile:
        """Rows counted in the frozen cells; profiles add up exactly, in any order.

        Columns whose name occurs twice are left out with a warning; `compare` with data leaves them out on both sides.

        Raises:
            NoCommonColumns: the data has none of the baseline's features.
            UsageError: the score, label or entity column occurs twice.
            DataError: the data cannot be read.
        """
        rows, notes = self._opened(data)
        share_columns(self.bins, rows)
        for line in notes.lines:
            if isinstance(line, LeftOut):
                warnings.warn(line, stacklevel=2)
        return self.engine.profile(rows, self.bins)

    def _opened(self, data: object) -> tuple[Rows, Notes]:
        notes = Notes.empty()
        rows = open_rows(data, note=notes.take)
        _ = rows.schema  # a Parquet file is looked into, and what is left out told, when its schema is asked for
        checked_twins(self.bins, notes.left_out)
        return rows, notes

    def compare(
        self,
        current: object,
        *,
        weights: Mapping[str, float] | None = None,
        rules: Sequence[Rule] | None = None,
        now: datetime | None = None,
    ) -> Result:
        """Hold a profile, or data, against the baseline.

        Args:
            current: a profile of this baseline, or anything `profile` takes.
            weights: importance of features in the weighted PSI; 1 where absent.
            rules: that give the severities; the packaged defaults by default.
            now: moment that the freshness of datetime columns is measured from; the machine's time by default.
        """
        if isinstance(current, Profile):
            return self.compare_profile(current, weights=weights, rules=rules, now=now)
        rows, notes = self._opened(current)
        # A name that occurs twice is left out on both sides: it is neither gone nor new.
        kept = self.without(notes.left_out)
        share_columns(kept.bins, rows)
        profile, lines = self.engine.profile(rows, kept.bins), tuple(notes.lines)
        return kept.compare_profile(profile, name=rows.name, weights=weights, rules=rules, now=now, notes=lines)

    def compare_profile(
        self,
        profile: Profile,
        *,
        name: str = "current",
        weights: Mapping[str, float] | None = None,
        rules: Sequence[Rule] | None = None,
        now: datetime | None = None,
        notes: Sequence[str] = (),
    ) -> Result:
        """As `compare`, for a profile, with what a report says about it.

        Args:
            profile: of this baseline.
            name: what people call the current side.
            weights: importance of features in the weighted PSI.
            rules: that give the severities.
            now: moment that freshness is measured from.
            notes: lines to keep with the result.
        """
        bins = self.bins
        checked_weights(weights or {}, {*bins.features, *bins.others, bins.label, bins.entity, *profile.new_columns})
        moment = now or datetime.now(UTC)
        judging = load_rules().rules if rules is None else tuple(rules)
        found = compared(self.reference, profile, weights=weights, now=moment)
        judged = judge(found, judging, window=Window(moment, moment, Grain.LIVE))
        return Result(judged.shown, self.reference, profile, name, judging, tuple(notes))


def compare(
    reference: object,
    current: object,
    *,
    features: Sequence[str] | None = None,
    ignore: Iterable[str] = (),
    kinds: Mapping[str, str | FeatureKind] | None = None,
    score: str | None = None,
    label: str | None = None,
    entity: str | None = None,
    weights: Mapping[str, float] | None = None,
    engine: str = "local",
) -> Result:
    """Drift and feature statistics of two data sets.

    Args:
        reference: a path (CSV, Parquet, Arrow, JSON lines, a folder of them, a Delta table as `path` or
            `path@version`), or a data frame of pandas, Polars or PyArrow.
        current: the same.
        features: columns to compare; every column without another part by default.
        ignore: columns to leave out.
        kinds: kinds you insist on, such as `{"zip": "categorical"}`.
        score: column of the model's output.
        label: column of the outcome.
        entity: column of the id whose rows belong together; tests then count ids, not rows.
        weights: importance of features in the weighted PSI; 1 where absent.
        engine: `local` or `spark`.

    Raises:
        UsageError: a named column or kind does not exist.
        NoCommonColumns: the two share nothing that could be compared.
        DataError: a side cannot be read, or the reference has no rows.
    """
    roles = roles_of(features=features, ignore=ignore, kinds=kinds, score=score, label=label, entity=entity)
    return compare_rows(Sides.of(reference, current), roles, weights=weights, engine=engine)


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Two opened data sets and what was said about them."""

    reference: Rows
    current: Rows
    notes: Notes

    @classmethod
    def of(cls, reference: object, current: object) -> Sides:
        """Open both sides.

        Raises:
            UnreadableData: one of them cannot be read.
        """
        notes = Notes.empty()
        return cls(open_rows(reference, note=notes.take), open_rows(current, note=notes.take), notes)


def compare_rows(
    sides: Sides, roles: ColumnRoles, *, weights: Mapping[str, float] | None = None, engine: str = "local"
) -> Result:
    """As `compare`, for opened data sets and column roles.

    Args:
        sides: both data sets.
        roles: which column plays which part.
        weights: importance of features in the weighted PSI.
        engine: name of the engine.
    """
    before, after = set(sides.reference.schema.names), set(sides.current.schema.names)
    twins = sides.notes.left_out
    checked_names(roles, reference=before, current=after, twins=twins, weights=weights or {})
    # A name that occurs twice on one side is left out on both: it is neither gone nor new.
    chosen = replace(roles, ignore=(*roles.ignore, *sorted(twins)))
    if roles.features is not None:
        chosen = replace(chosen, features=tuple(name for name in roles.features if name not in twins))
    with without_collection(len(before)):
        baseline = Baseline.of_rows(sides.reference, chosen, engine=engine)
        share_columns(baseline.bins, sides.current)
        profile = baseline.engine.profile(sides.current, baseline.bins)
        notes = tuple(sides.notes.lines)
        result = baseline.compare_profile(profile, name=sides.current.name, weights=weights, notes=notes)
        both = (sides.reference, sides.current)
        explained = with_causes(result.comparison, baseline.reference, profile, both, baseline.engine)
        return replace(result, comparison=explained, notes=(*notes, *_said_of_label(explained, chosen.label)))


def _said_of_label(comparison: Comparison, label: str | None) -> tuple[str, ...]:
    """A label of which no value means converted is more often the wrong column than a bad month."""
    shares = (comparison.conversion_reference, comparison.conversion_current)
    if not label or any(shares) or shares == (None, None):
        return ()
    return (f"hint: no row of `{label}` means converted (true, 1, yes or y): is it the label?",)


__all__ = ["Baseline", "Notes", "Sides", "compare", "compare_rows"]
