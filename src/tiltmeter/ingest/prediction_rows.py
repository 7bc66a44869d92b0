"""Rows of the log as the profile sees them: features under their own names, everything else under reserved ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tiltmeter.capture.frames import private_column
from tiltmeter.capture.privacy import Privacy
from tiltmeter.domain.feature import NAMELESS, ColumnRoles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tiltmeter.domain.model import Model
    from tiltmeter.domain.profile import Bins
    from tiltmeter.ports import Rows

TIME, VERSION, ENTITY, SCORE, LABEL = "__time", "__version", "__entity", "__score", "__label"
"""Reserved column names: two underscores keep them apart from every feature that a JSON body may hold."""

FEATURE_PREFIX = "f_"

_CAPTURED = {"request_time": TIME, "model_version": VERSION, "entity_id": ENTITY, "prediction": SCORE}
_SCORE_NAMES = ("prediction", "score", "probability")


@dataclass(frozen=True, slots=True, eq=False)
class RenamedRows:
    """Rows with columns chosen and renamed; nothing is copied but what is hashed.

    Args:
        inner: the rows as stored.
        names: stored name -> name given.
        hashed: stored names of columns whose values are given as keyed hashes.
        rules: that hash them.
    """

    inner: Rows
    names: Mapping[str, str]
    hashed: frozenset[str] = frozenset()
    rules: Privacy | None = None

    @property
    def name(self) -> str:
        """As the inner rows."""
        return self.inner.name

    @property
    def version(self) -> int | None:
        """As the inner rows."""
        return self.inner.version

    @property
    def schema(self) -> Any:  # noqa: ANN401 - a pyarrow.Schema, as in the port
        """The chosen columns under their given names."""
        stored = self.inner.schema  # read once: a file source opens its files for it
        fields = [(name, stored.field(name).with_name(given)) for name, given in self.names.items()]
        return pa.schema([field.with_type(pa.string()) if name in self.hashed else field for name, field in fields])

    def count(self) -> int | None:
        """As the inner rows."""
        return self.inner.count()

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Record batches with the given names."""
        wanted = [s for s, given in self.names.items() if columns is None or given in columns]
        for batch in self.inner.batches(wanted):
            found = [s for s in wanted if s in batch.schema.names]
            yield pa.RecordBatch.from_arrays([self._column(batch, s) for s in found], [self.names[s] for s in found])

    def with_text(self, names: Sequence[str]) -> RenamedRows:
        """The same rows with these columns read as text where no types are stated; itself where they are."""
        inner: Any = self.inner
        if not hasattr(inner, "with_text"):
            return self
        wanted = set(names)
        typed = inner.with_text([stored for stored, given in self.names.items() if given in wanted])
        return self if typed is inner else replace(self, inner=typed)

    def _column(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        values = batch.column(name)
        if name not in self.hashed or self.rules is None:
            return values
        changed = private_column(self.rules, name, pa.chunked_array([values]))
        return values if changed is None else changed.combine_chunks().cast(pa.string())


def column_name(column: str) -> str:
    """Name of a feature's column in the log: one without a name is called `""`, which stored states can hold.

    Columns of nothing but quotes get two more, so that no two are called the same.
    """
    return column if column.strip('"') else column + NAMELESS


def captured(rows: Rows, model: Model) -> RenamedRows:
    """Rows of the `predictions` table: `f_` columns are the features."""
    hidden = set(model.ignore) | set(model.drop)
    present = rows.schema.names
    names = {stored: given for stored, given in _CAPTURED.items() if stored in present}
    for stored in present:
        feature = stored.removeprefix(FEATURE_PREFIX)
        if stored.startswith(FEATURE_PREFIX) and feature not in hidden:
            names[stored] = column_name(feature)
    return RenamedRows(rows, names)


def foreign(rows: Rows, model: Model, *, with_label: bool = False) -> RenamedRows:
    """Rows of a table that is read in place, by the configured column roles.

    Args:
        rows: as stored.
        model: whose source they are.
        with_label: the label too; it is no feature.
    """
    source = model.source
    columns = dict(source.columns) if source else {}
    roles = {"time": TIME, "model_version": VERSION, "entity_id": ENTITY, "prediction": SCORE}
    if with_label:
        roles["label"] = LABEL
    present = rows.schema.names
    names = {columns[role]: given for role, given in roles.items() if columns.get(role) in present}
    apart = set(columns.values()) | set(model.ignore) | set(model.drop)
    wanted = source.features if source and source.features is not None else present
    names.update({column: column_name(column) for column in wanted if column not in apart and column in present})
    return _with_hashes(rows, names, model)


def training(rows: Rows, model: Model) -> RenamedRows:
    """Rows of a reference data set: the score under any of its usual names, id and label columns left out."""
    columns = dict(model.source.columns) if model.source else {}
    # A table whose columns are named has no score but the named one: a guessed one would be gone from every window.
    guessed = None if model.source else next((c for c in _SCORE_NAMES if c in rows.schema.names), None)
    score = columns.get("prediction", guessed)
    entity = columns.get("entity_id", "entity_id")
    apart = {score, entity, columns.get("time"), columns.get("model_version"), columns.get("label")}
    apart |= set(model.ignore) | set(model.drop)
    # A feature that the table's own list leaves out would be gone from every window.
    wanted = model.source.features if model.source and model.source.features is not None else rows.schema.names
    names = {c: column_name(c) for c in rows.schema.names if c not in apart and c in wanted}
    if score in rows.schema.names and score is not None:
        names[score] = SCORE
    if entity in rows.schema.names:
        names[entity] = ENTITY
    return _with_hashes(rows, names, model)


def _with_hashes(rows: Rows, names: Mapping[str, str], model: Model) -> RenamedRows:
    """As captured rows have them: raw values would stand in bins and states, and be new levels to the other side."""
    if not model.hash:
        return RenamedRows(rows, names)
    return RenamedRows(rows, names, frozenset(model.hash) & frozenset(names), Privacy(hash=model.hash))


def roles_of(model: Model, rows: Rows) -> ColumnRoles:
    """Which of the reserved columns play a part in a fit."""
    present = set(rows.schema.names)
    return ColumnRoles(
        ignore=tuple({TIME, VERSION} & present),
        kinds=dict(model.kinds),
        missing_values=dict(model.missing_values),
        score=SCORE if SCORE in present else None,
        entity=ENTITY if ENTITY in present else None,
    )


def monitored(bins: Bins) -> Bins:
    """The same cells for rows of the log: their leads are counted though the baseline's rows had no ids.

    A lead scored five times is one row to every test, whatever the baseline was made from, and the columns that every
    log has are none that the baseline lacks.
    """
    reserved = {TIME, VERSION, ENTITY, SCORE, LABEL}
    return replace(bins, entity=bins.entity or ENTITY, others=bins.others | (reserved - bins.features.keys()))
