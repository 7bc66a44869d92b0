"""`tiltmeter.log_baseline(...)`: one line in the training script keeps the baseline beside the model."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.errors import ConfigError, UsageError
from tiltmeter.domain.feature import ColumnRoles, FeatureKind
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.ingest.mlflow import BASELINE_FILE
from tiltmeter.ingest.prediction_rows import ENTITY, SCORE, RenamedRows, column_name
from tiltmeter.profiling.codec import encode_baseline
from tiltmeter.profiling.fit import bins_hash
from tiltmeter.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiltmeter.domain.profile import Bins, Profile


def log_baseline(
    training: object,
    *,
    score: str | None = None,
    entity: str | None = None,
    ignore: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
    missing_values: Mapping[str, Sequence[str | float]] | None = None,
    run_id: str | None = None,
) -> str:
    """Freeze the training data and log it as an artifact of the training run.

    A model whose configuration says `baselines: {training: {mlflow: "models:/lead-scoring@champion"}}` is then judged
    against the data its champion was trained on.

    Args:
        training: data frame, path or Delta table, with the model's score where it is known.
        score: column of the score.
        entity: column of the lead's id.
        ignore: columns that are no features, such as the label.
        kinds: kinds you insist on, such as `{"zip_code": "categorical"}`.
        missing_values: values that mean "missing", such as `{"pdays": [999]}`.
        run_id: of the run; the active one by default.

    Returns:
        Id of the bins.

    Raises:
        UsageError: there is no active run, or a named column does not exist.
        DataError: the data cannot be read.
        ConfigError: MLflow is not installed.
    """
    rows = open_rows(training)
    there = list(rows.schema.names)
    for column in (score, entity, *ignore):
        if column is not None and column not in there:
            raise UsageError(f'there is no column "{column}"', hint=did_you_mean(column, there))
    parts = {score: SCORE, entity: ENTITY}
    names = {column: parts.get(column, column_name(column)) for column in there if column not in ignore}
    roles = ColumnRoles(
        kinds={name: FeatureKind(kind) for name, kind in (kinds or {}).items()},
        missing_values={name: tuple(values) for name, values in (missing_values or {}).items()},
        score=SCORE if score else None,
        entity=ENTITY if entity else None,
    )
    engine = LocalEngine()
    renamed = RenamedRows(rows, names)
    bins = engine.fit(renamed, roles)
    reference = Reference(rows.name, bins.bins_id, bins, engine.profile(renamed, bins))
    _upload(encode_baseline(reference), run_id)
    return bins.bins_id


def named_as_logged(bins: Bins, profile: Profile) -> tuple[Bins, Profile]:
    """A baseline of a data set with score, entity and columns of no name as rows of the log have them."""
    given = {name: column_name(name) for name in bins.features} | ({bins.score: SCORE} if bins.score else {})
    if bins.entity in ("", ENTITY) and all(name == new for name, new in given.items()):
        return bins, profile
    cells = {given.get(name, name): replace(one, name=given.get(name, name)) for name, one in bins.features.items()}
    renamed = replace(bins, features=cells, score=bins.score and SCORE, entity=bins.entity and ENTITY)
    renamed = replace(renamed, bins_id=bins_hash(renamed))
    counted = {given.get(name, name): one for name, one in profile.features.items()}
    return renamed, replace(profile, bins_id=renamed.bins_id, features=counted)


def _upload(content: bytes, run_id: str | None) -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        import mlflow
    except ImportError as error:
        raise ConfigError("the baseline is kept in MLflow", hint='pip install "tiltmeter[mlflow]"') from error
    active = mlflow.active_run()
    chosen = run_id or (active.info.run_id if active is not None else None)
    if chosen is None:
        raise UsageError("there is no active run", hint="call it within `with mlflow.start_run():`, or give run_id=")
    folder, _, name = BASELINE_FILE.rpartition("/")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch, name)
        place.write_bytes(content)
        mlflow.MlflowClient().log_artifact(chosen, str(place), folder)
