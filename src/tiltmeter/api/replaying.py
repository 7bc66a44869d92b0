"""A data set as a history: its own beginning, or another data set, is the baseline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiltmeter.api.backtest import Backtest, replays
from tiltmeter.api.baseline import Baseline, Notes
from tiltmeter.api.columns import checked_against_frozen, checked_names, checked_twins, checked_weights, share_columns
from tiltmeter.api.history import TimeSlice, checked_time, profiled_windows, told_windows
from tiltmeter.domain.errors import EmptyWindow, UsageError
from tiltmeter.engines.local import open_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.feature import ColumnRoles
    from tiltmeter.domain.rule import RuleSet
    from tiltmeter.domain.window import Grain
    from tiltmeter.ports import Rows

BASELINE_SUFFIX = ".tmb"


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """A data set with times, and where its baseline comes from; exactly one of the two sources is set.

    Args:
        rows: the data set.
        time: timestamp column.
        until: rows before this moment are the baseline.
        baseline: another data set, or a saved baseline.
        notes: what readers said.
    """

    rows: Rows
    time: str
    notes: Notes
    until: datetime | None = None
    baseline: str | None = None

    @classmethod
    def of(cls, data: object, *, time: str, until: datetime | None = None, baseline: str | None = None) -> History:
        """Open it.

        Raises:
            UsageError: the time column does not exist, or not exactly one baseline is named.
            UnreadableData: the data cannot be read.
        """
        if (until is None) == (baseline is None):
            raise UsageError(
                "exactly one of --baseline-until and --baseline is needed",
                hint="--baseline-until 2026-10-01 takes the rows before that day",
            )
        notes = Notes.empty()
        rows = open_rows(data, note=notes.take)
        checked_time(rows, time)
        return cls(rows, time, notes, until, baseline)

    def judged_rows(self) -> Rows:
        """Rows that fall into windows: those from the end of the baseline on, or all."""
        return self.rows if self.until is None else TimeSlice(self.rows, self.time, since=self.until)

    @property
    def is_saved(self) -> bool:
        """Whether the baseline was frozen before, with its own column roles."""
        return self.baseline is not None and self.baseline.endswith(BASELINE_SUFFIX)

    def reference_columns(self) -> list[str]:
        """Columns of the side that the baseline is made from; of a saved baseline, those it was frozen with."""
        if self.baseline is None:
            return list(self.rows.schema.names)
        if self.is_saved:
            bins = Baseline.load(self.baseline).bins
            return [*bins.features, *bins.others]
        return list(open_rows(self.baseline).schema.names)

    def frozen(self, roles: ColumnRoles, *, engine: str, weights: Mapping[str, float] | None = None) -> Baseline:
        """The baseline.

        Args:
            roles: which column plays which part; a saved baseline must have been frozen with the same.
            engine: name of the engine.
            weights: of features, to see whether they are there.

        Raises:
            UsageError: a named column does not exist, or is not what it was frozen as.
            DataError: it cannot be read, or has no rows.
        """
        names = set(self.rows.schema.names)
        if self.is_saved:
            saved = Baseline.load(self.baseline or "", engine=engine)
            twins = self.notes.left_out
            checked_twins(saved.bins, twins)
            checked_against_frozen(roles, saved.bins, names | twins)
            checked_weights(weights or {}, {*saved.bins.features, *saved.bins.others, *names})
            return saved.without({*roles.ignore, *twins})
        if self.until is not None:
            source: Rows = TimeSlice(self.rows, self.time, until=self.until)
        else:
            source = open_rows(self.baseline, note=self.notes.take)
        twins = self.notes.left_out
        checked_names(roles, reference=set(source.schema.names), current=names, twins=twins, weights=weights)
        chosen = replace(roles, ignore=(*roles.ignore, *sorted(twins)), time=self.time)
        try:
            return Baseline.of_rows(source, chosen, engine=engine)
        except EmptyWindow as error:
            if self.until is None:
                raise
            raise EmptyWindow(
                f"no row lies before {self.until:%Y-%m-%d %H:%M} UTC", at=self.rows.name,
                hint="name a later --baseline-until",
            ) from error  # fmt: skip


def backtest_history(
    history: History,
    roles: ColumnRoles,
    rules: RuleSet,
    *,
    grain: Grain,
    zone: ZoneInfo,
    weights: Mapping[str, float] | None = None,
    engine: str = "local",
    model: str = "",
) -> Backtest:
    """Replay a data set.

    Args:
        history: the data set and its baseline.
        roles: which column plays which part.
        rules: to judge with.
        grain: of the windows.
        zone: calendar that cuts them.
        weights: importance of features in the weighted PSI.
        engine: name of the engine.
        model: name of the model that rules may be limited to.
    """
    return backtests_beside(
        history, roles, [rules], grain=grain, zone=zone, weights=weights, engine=engine, model=model
    )[0]


def backtests_beside(
    history: History,
    roles: ColumnRoles,
    rules: Sequence[RuleSet],
    *,
    grain: Grain,
    zone: ZoneInfo,
    weights: Mapping[str, float] | None = None,
    engine: str = "local",
    model: str = "",
) -> list[Backtest]:
    """As `backtest_history`, once for each of several rule sets; the rows are counted once."""
    baseline = history.frozen(roles, engine=engine, weights=weights)
    share_columns(baseline.bins, history.rows)
    rows = history.judged_rows()
    windows = profiled_windows(
        baseline.engine, rows, baseline.bins, time=history.time, grain=grain, zone=zone, since=history.until
    )
    name, reference = history.rows.name, baseline.reference
    return replays(reference, told_windows(windows), rules, zone=zone, source=name, weights=weights, model=model)
