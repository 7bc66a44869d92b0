"""`tiltmeter erase --entity ID`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from tiltmeter.capture.batch import BATCH_FOLDER
from tiltmeter.capture.privacy import Privacy
from tiltmeter.capture.spool import begun_segments
from tiltmeter.cli.installation import ConfigOption, JsonOption, print_json
from tiltmeter.config.load import load_settings
from tiltmeter.domain.batch_run import WRITING
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.ingest.standing import Shipped
from tiltmeter.pipeline import observe_hours_anew
from tiltmeter.store.delta import DeltaLog
from tiltmeter.store.erase import Reprofiling, erase_entity
from tiltmeter.store.states import DeltaProfileStates
from tiltmeter.wiring import SystemClock, build_world, stored_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from tiltmeter.config.load import Configuration
    from tiltmeter.domain.model import Model
    from tiltmeter.ports import StateStore, World

_SEAL_SECONDS = 10.0
"""A worker seals within a second; one that takes longer hangs."""

_LOOK_SECONDS = 0.1
_UNFINISHED = "erasure-unfinished"


def erase(
    entity: Annotated[str, typer.Option("--entity", help="Id of the person, as the predictions have it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove one person's rows from every table, old versions and spool included, and say what was removed.

    A table that is read in place belongs to somebody else and is left alone.

    Example:
        tiltmeter erase --entity lead-4711
    """
    configuration = load_settings(config)
    clock = SystemClock()
    log = stored_log(configuration, clock, configuration.models)
    shipped, unsealed = _emptied_spool(configuration, log, clock)
    world = build_world(configuration, clock=clock, with_channels=False, stored=log)
    states = DeltaProfileStates(configuration.placed(configuration.settings.store.path), clock)
    repairs = [repair for model in world.models.values() for repair in _reprofilings(model, world, states)]
    erased = erase_entity(
        log,
        states,
        [entity, *_hashed(entity, configuration)],
        models=repairs,
        zone=configuration.zone,
        damaged=configuration.home / "damaged",
        unfinished=_KeptHours(world.state),
    )
    writing = [*_still_written(configuration), *unsealed]
    in_place = {name: model.source.table for name, model in configuration.models.items() if model.source is not None}
    if as_json:
        facts = {"shipped_before": shipped, **asdict(erased), "still_written": writing, "left_alone": in_place}
        print_json({"schema": "tiltmeter.erase/1", **facts})
        return
    for table, rows in erased.rows.items():
        print(f"{table}: {rows} rows removed, {erased.files.get(table, 0)} files of older versions removed")
    for model, hours in erased.hours.items():
        print(f"{model}: {hours} hours profiled anew")
    if erased.bodies:
        print(f"predictions: bodies of {erased.bodies} other rows named the id and were emptied")
    for name in erased.set_aside:
        print(f"damaged/{name}: held the id, removed whole")
    for name in erased.unread:
        print(f"damaged/{name}: cannot be read, so nobody knows whether it holds the id; delete it if it may")
    print(f"spool: {shipped} waiting records were moved into the tables first")
    for name in writing:
        print(f"{name}: a job or a worker is writing it now; run this again when it has ended")
    for model, table in in_place.items():
        print(f"{model}: {table} is read in place and was left alone; delete the rows there")
    if not sum(erased.rows.values()) and not erased.bodies and not erased.set_aside:
        print("nothing is known of this id")


def _emptied_spool(configuration: Configuration, log: DeltaLog, clock: SystemClock) -> tuple[int, list[str]]:
    """Records moved into the tables, and segments that a worker keeps open all the same."""
    settings = configuration.settings.capture
    spool = configuration.placed(settings.spool.path)
    shipper = Shipper(
        spool, log, configuration.models, clock, damaged=configuration.home / "damaged", keep_raw=settings.keep_raw
    )
    begun, shipped = set(begun_segments(spool)), Shipped()
    end = clock.monotonic() + _SEAL_SECONDS
    while True:  # what a worker has begun would reach the table after the person was erased
        shipped += shipper.ship_once(flush=True)
        begun &= set(begun_segments(spool))
        if not begun or clock.monotonic() > end:
            break
        Event().wait(_LOOK_SECONDS)
    return shipped.predictions + shipped.outcomes, sorted(str(path.relative_to(spool)) for path in begun)


def _still_written(configuration: Configuration) -> list[str]:
    """Batch runs whose process is alive: their rows are in no table yet."""
    batch = configuration.placed(configuration.settings.capture.spool.path) / BATCH_FOLDER
    return sorted(folder.name for folder in batch.glob(f"*{WRITING}*"))


def _reprofilings(model: Model, world: World, states: DeltaProfileStates) -> Iterator[Reprofiling]:
    """Profiles under the cells that judge now are made anew; under cells of earlier baselines their hours go."""
    bins = world.baselines.bins(model, world.clock.now())
    if bins is not None:
        yield Reprofiling(model.name, bins.bins_id, lambda hours: observe_hours_anew(model, world, hours))
    for bins_id in sorted(states.bins_ids(model.name) - {bins.bins_id if bins else ""}):
        yield Reprofiling(model.name, bins_id, partial(_emptied, states, model.name, bins_id))


def _emptied(
    states: DeltaProfileStates, model: str, bins_id: str, hours: AbstractSet[datetime]
) -> AbstractSet[datetime]:
    window = Window(min(hours), max(hours) + timedelta(hours=1), Grain.LIVE)
    held = hours & states.hours(model, bins_id, window).keys()
    if held:
        states.replace({}, held, model=model, bins_id=bins_id)
    return held


@dataclass(frozen=True, slots=True)
class _KeptHours:
    """Hours that an erasure has still to profile anew, in the state database; whose, nobody can tell from them."""

    state: StateStore

    def read(self) -> Mapping[str, AbstractSet[datetime]]:
        kept = json.loads(self.state.watermark(_UNFINISHED) or "{}")
        return {model: {datetime.fromisoformat(start) for start in starts} for model, starts in kept.items()}

    def keep(self, hours: Mapping[str, AbstractSet[datetime]]) -> None:
        told = {model: sorted(start.isoformat() for start in starts) for model, starts in hours.items()}
        self.state.set_watermark(_UNFINISHED, json.dumps(told))


def _hashed(entity: str, configuration: Configuration) -> list[str]:
    """The id as it is stored where a model keeps ids hashed."""
    names = sorted({name for model in configuration.models.values() for name in model.hash})
    if not names or not os.environ.get("TILTMETER_HASH_KEY"):
        return []
    kept = Privacy(hash=names).json(dict.fromkeys(names, entity))
    return list({value for value in kept.values() if isinstance(value, str) and value != entity})
