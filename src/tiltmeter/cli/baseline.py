"""`tiltmeter baseline create|list|show|use`: what windows are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiltmeter.cli.installation import ConfigOption
from tiltmeter.cli.loading import loading
from tiltmeter.cli.options import Columns, Entity, Features, Ignore, Json, Kind, Label, Missing, Score
from tiltmeter.cli.output import checked_output, console, print_json, remark, table
from tiltmeter.cli.progress import shown_progress

if TYPE_CHECKING:
    from tiltmeter.config.load import Configuration
    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.model import Model
    from tiltmeter.ports import World
    from tiltmeter.store.baselines import StoredBaselines

app = typer.Typer(help="Freeze, list, show and choose what windows are compared with.")

_SUFFIX = ".tmb"
_MOST_FEATURES = 60

Which = Annotated[str, typer.Argument(metavar="BASELINE", help="A .tmb file, or the id of one in the home folder.")]


@app.command("create")
def create(  # noqa: PLR0917 - an option each
    data: Annotated[str | None, typer.Argument(help="File, folder or Delta table; or --model with a window.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="F", help="File to write, by custom .tmb.")] = None,
    model: Annotated[str, typer.Option("--model", help="Take the rows from the log of this model.")] = "",
    since: Annotated[str | None, typer.Option("--from", metavar="D", help="Beginning of the window.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="D", help="Its exclusive end.")] = None,
    features: Features = None,
    ignore: Ignore = None,
    kind: Kind = None,
    missing: Missing = None,
    score: Score = None,
    label: Label = None,
    entity: Entity = None,
    config: ConfigOption = None,
    as_json: Json = False,
) -> None:
    """Freeze a baseline from a data set, or from a window of a model's log.

    Example:
      tiltmeter baseline create training.parquet --score score --ignore lead_id --out training.tmb
      tiltmeter baseline create --model lead-scoring --from 2026-09-01 --until 2026-10-01 --out september.tmb
    """
    from tiltmeter.domain.errors import UsageError

    checked_output(out)
    if (data is None) == (not model):
        raise UsageError("name either a data set or --model with --from and --until")
    if data is not None:
        columns = Columns(features, ignore, kind, missing, score, label, entity)
        reference = _of_data(data, columns)
    else:
        reference = _of_log(_configuration(config), model, since, until)
    place = out or Path(f"{_stem(data) if data is not None else model}{_SUFFIX}")
    _write(place, reference)
    _show(reference, str(place), as_json=as_json)
    remark(f"written: {place}")


@app.command("list")
def list_baselines(config: ConfigOption = None, as_json: Json = False) -> None:
    """Baselines in the home folder, and which model is judged by which.

    Example:
      tiltmeter baseline list
    """
    configuration = _configuration(config)
    found = [_summary(_load(path), str(path)) for path in sorted(configuration.placed("baselines").glob(f"*{_SUFFIX}"))]
    users = _users(configuration) if found else {}
    for one in found:
        one["models"] = users.get(str(one["bins_id"]), [])
    if as_json:
        print_json({"schema": "tiltmeter.baselines/1", "baselines": found})
        return
    if not found:
        print("There is no baseline yet: a model learns one from its first full week, or `create` and `use` one.")
        return
    rows = [[str(f["bins_id"]), f"{f['rows']:,}", str(f["features"]), ", ".join(f["models"]), f["made"]] for f in found]
    console().print(table(("id", "rows", "features", "used by", "made from"), rows, numbers=("rows", "features")))


@app.command("show")
def show(baseline: Which, config: ConfigOption = None, as_json: Json = False) -> None:
    """What a baseline holds: kinds, cells and rows of its features.

    Example:
      tiltmeter baseline show training.tmb
    """
    path = _path_of(baseline, config)
    _show(_load(path), str(path), as_json=as_json)


@app.command("use")
def use(
    baseline: Which,
    model: Annotated[str, typer.Option("--model", help="Model that is judged by it from now on.")],
    config: ConfigOption = None,
) -> None:
    """Judge a model by this baseline from now on; a running service takes it up when it starts next.

    Example:
      tiltmeter baseline use september.tmb --model lead-scoring
    """
    configuration = _configuration(config)
    path = _path_of(baseline, config)
    reference = _load(path)
    world = _world(configuration)
    chosen = _model(world, model)
    with loading():
        from tiltmeter.api.training import named_as_logged
    bins, profile = named_as_logged(reference.bins, reference.profile)
    _baselines(world).use(chosen, bins, profile)
    print(f"{model} is judged by {bins.bins_id} ({path}); history is profiled anew in its bins")


def _users(configuration: Configuration) -> dict[str, list[str]]:
    """Models by the id of the bins that they are judged by."""
    world = _world(configuration)
    kept = _baselines(world)
    users: dict[str, list[str]] = {}
    for model in world.models.values():
        used = kept.used(model)
        if used is not None:
            users.setdefault(used, []).append(model.name)
    return users


def _of_data(data: str, columns: Columns) -> Reference:
    with loading():
        from tiltmeter.api.baseline import Baseline, Notes
        from tiltmeter.api.columns import checked_names
    from tiltmeter.engines.local import open_rows

    notes = Notes.empty()
    rows = open_rows(data, note=notes.take)
    names = list(rows.schema.names)
    roles = columns.roles(names)
    checked_names(roles, reference=set(names), current=set(names), twins=notes.left_out)
    with shown_progress():
        made = Baseline.of_rows(rows, roles)
    for line in notes.lines:
        remark(line)
    return made.reference


def _of_log(configuration: Configuration, name: str, since: str | None, until: str | None) -> Reference:
    from tiltmeter.api.history import moment_of
    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.errors import UsageError
    from tiltmeter.domain.window import Grain, Window
    from tiltmeter.ingest.prediction_rows import roles_of

    if since is None or until is None:
        raise UsageError("--model needs --from and --until", hint="for example --from 2026-09-01 --until 2026-10-01")
    start, end = moment_of(since, configuration.zone), moment_of(until, configuration.zone)
    if end <= start:
        raise UsageError(f"--until {until} is not after --from {since}")
    world = _world(configuration)
    model = _model(world, name)
    rows = world.log.rows(model, Window(start, end, Grain.DAY))
    bins = world.engine.fit(rows, roles_of(model, rows), level_cap=model.level_cap)
    return Reference(f"{name} {since} to {until}", bins.bins_id, bins, world.engine.profile(rows, bins))


def _stem(data: str) -> str:
    return Path(data.rstrip("/")).name.split(".")[0].split("@")[0] or "baseline"


def _write(path: Path, reference: Reference) -> None:
    from tiltmeter.api.files import write_bytes
    from tiltmeter.profiling.codec import encode_baseline

    write_bytes(path, encode_baseline(reference))


def _load(path: Path) -> Reference:
    from tiltmeter.api.baseline import Baseline

    return Baseline.load(path).reference


def _configuration(path: Path | None) -> Configuration:
    from tiltmeter.config.load import load_settings

    return load_settings(path)


def _world(configuration: Configuration) -> World:
    from tiltmeter.wiring import build_world

    return build_world(configuration, with_channels=False)


def _baselines(world: World) -> StoredBaselines:
    from tiltmeter.domain.errors import UsageError
    from tiltmeter.store.baselines import StoredBaselines

    if not isinstance(world.baselines, StoredBaselines):
        raise UsageError("this installation keeps its baselines elsewhere")
    return world.baselines


def _model(world: World, name: str) -> Model:
    from tiltmeter.domain.errors import UsageError
    from tiltmeter.registry import did_you_mean

    if name not in world.models:
        raise UsageError(f'there is no model "{name}"', hint=did_you_mean(name, list(world.models)))
    return world.models[name]


def _path_of(baseline: str, config: Path | None) -> Path:
    from tiltmeter.domain.errors import UnreadableData
    from tiltmeter.registry import did_you_mean

    path = Path(baseline)
    if path.suffix == _SUFFIX or path.exists():
        return path
    folder = _configuration(config).placed("baselines")
    known = [file.stem for file in folder.glob(f"*{_SUFFIX}")] if folder.is_dir() else []
    matches = [name for name in known if name.startswith(baseline)]
    if len(matches) != 1:
        raise UnreadableData(f'there is no baseline "{baseline}"', at=str(folder), hint=did_you_mean(baseline, known))
    return folder / f"{matches[0]}{_SUFFIX}"


def _summary(reference: Reference, path: str) -> dict[str, Any]:
    return {
        "bins_id": reference.bins.bins_id,
        "file": path,
        "made": reference.name,
        "rows": reference.profile.rows,
        "features": len(reference.bins.features),
        "fit": reference.bins.fit_rule,
    }


def _show(reference: Reference, path: str, *, as_json: bool) -> None:
    bins = reference.bins
    features = {name: _feature_json(reference, name) for name in bins.features}
    if as_json:
        roles = {"score": bins.score or None, "label": bins.label or None, "entity": bins.entity or None}
        print_json({"schema": "tiltmeter.baseline/1", **_summary(reference, path), **roles, "features": features})
        return
    out = console()
    out.print(f"{bins.bins_id}: {reference.profile.rows:,} rows of {reference.name}, made from {bins.fit_rule}")
    from tiltmeter.monitors.effects import shortened

    rows = [
        [shortened(name), one["kind"], str(one["cells"]), f"{one['missing']:,}", one["role"]]
        for name, one in list(features.items())[:_MOST_FEATURES]
    ]
    out.print()
    out.print(table(("feature", "kind", "cells", "missing", "role"), rows, numbers=("cells", "missing")))
    if len(features) > _MOST_FEATURES:
        out.print(f"\n{len(features) - _MOST_FEATURES} more features: --json shows them")


def _feature_json(reference: Reference, name: str) -> dict[str, Any]:
    from tiltmeter.domain.profile import LevelBins, NumericBins

    feature = reference.bins.features[name]
    counted = reference.profile.features.get(name)
    cells = 0
    if isinstance(feature.cells, NumericBins):
        cells = int(feature.cells.deciles.size) + 1
    elif isinstance(feature.cells, LevelBins):
        cells = len(feature.cells.levels)
    return {
        "kind": feature.kind.value,
        "cells": cells,
        "missing": counted.missing if counted is not None else 0,
        "role": "score" if name == reference.bins.score else "",
    }
