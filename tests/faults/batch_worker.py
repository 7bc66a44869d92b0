"""Kills a batch job, or its shipper, before every line of their code, and looks at what the next ones make of it.

    python batch_worker.py job|ship FOLDER STEP     every STEP-th line; prints counts as JSON

Each process is forked from one that has loaded everything and used nothing, so that a kill point costs a second.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from tiltmeter.capture import batch, run_folder
from tiltmeter.capture.batch import batch_job
from tiltmeter.ingest import aside, batch_parts, earlier_runs, killed_runs
from tiltmeter.ingest.batch_parts import BatchShipper
from tiltmeter.ingest.columns import FeatureTypes
from tiltmeter.store.delta import DeltaLog

NOW = datetime.now(UTC)
LATER = timedelta(hours=2)
"""A folder that was made and never used is given up after an hour."""

CODE = {
    "job": {batch.__file__, run_folder.__file__},
    "ship": {m.__file__ for m in (batch_parts, killed_runs, run_folder, earlier_runs, aside)},
}
FRAME = pa.table({"lead_id": ["a", "b", "c"], "score": [0.1, 0.2, 0.3]})
RUNS = ("r1", "r2", "failed", "killed", "short")


class Clock:
    def now(self):
        return NOW

    def monotonic(self):
        return 0.0


def the_job(folder, run_id="r1", *, end=lambda: None):
    with batch_job(model="m", job="nightly", run_id=run_id, spool=folder / "spool", now=lambda: NOW) as run:
        run.log(FRAME, score="score", entity_id="lead_id")
        run.log(FRAME, score="score", entity_id="lead_id")
        end()


def acknowledged_job(folder):
    the_job(folder)
    (folder / "acknowledged").touch()


def ship(folder, now=NOW):
    log = DeltaLog(folder / "tables", Clock())
    BatchShipper(folder / "spool", log, FeatureTypes(), folder / "damaged", Counter()).ship(now)
    return log


def prepare(folder):
    """A spool with runs of every kind: good, failed, killed, and one whose part is gone."""

    def fails():
        raise ValueError

    for run_id in ("r1", "r2", "short"):
        the_job(folder, run_id)
    with suppress(ValueError):
        the_job(folder, "failed", end=fails)
    (short,) = (folder / "spool" / "batch").glob("m-nightly-short-*")
    (short / "part-00001.parquet").unlink()
    the_job(folder, "killed", end=lambda: os.kill(os.getpid(), signal.SIGKILL))


def in_child(work):
    """Exit status of a fork that did the work."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
    except BaseException:  # noqa: BLE001 - the child ends here
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def traced(code, work, see):
    def local(frame, event, _):
        if event == "line":
            see((Path(frame.f_code.co_filename).name, frame.f_lineno, frame.f_code.co_name))
        return local

    sys.settrace(lambda frame, *_: local if frame.f_code.co_filename in code else None)
    try:
        work()
    finally:
        sys.settrace(None)


def lines_of(code, work, note):
    seen = {}

    def child():
        traced(code, work, seen.setdefault)
        note.write_text(json.dumps(list(seen)))

    assert in_child(child) == 0
    return [tuple(point) for point in json.loads(note.read_text())]


def killed_at(code, work, point):
    def see(here):
        if here == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child(lambda: traced(code, work, see)) == -signal.SIGKILL


def check(folder, expected):
    """Every run of the table has the rows that it must have, each once; nothing is left in the spool."""
    log = ship(folder, NOW + LATER)
    rows = log.table("predictions").reading().to_pyarrow_table(columns=["event_id", "run_id"]).to_pylist()
    ids = [row["event_id"] for row in rows]
    assert len(ids) == len(set(ids)), f"doubled: {[n for n, c in Counter(ids).items() if c > 1]}"
    runs = log.batch_runs(datetime.min.replace(tzinfo=UTC))
    for run_id, number in expected.items():
        good = [row for row in runs if row["run_id"] == run_id and row["result_state"] == "SUCCESS"]
        assert len(good) == (run_id not in {"failed", "killed", "short"}), (run_id, runs)
        found = [row["event_id"] for row in rows if row["run_id"] == run_id]
        last = [name for name in found if not good or f"/{run_id}{attempt(good[0])}-" in name]
        assert len(last) == number, (run_id, "lost or doubled", found, runs)
    assert {path.name for path in (folder / "spool" / "batch").iterdir() if not path.name.endswith(".failed")} == set()


def attempt(run):
    return f"//{run['attempt']}" if run["attempt"] else ""


def job_point(folder, point, number):
    """Kill the job, try it again, ship: by turns with a shipper in between or not."""
    killed = killed_at(CODE["job"], lambda: acknowledged_job(folder), point)
    if number % 2:
        assert in_child(lambda: ship(folder)) == 0
    assert in_child(lambda: the_job(folder)) == 0
    assert in_child(lambda: check(folder, {"r1": 6})) == 0, (point, "after the first try")
    assert in_child(lambda: the_job(folder)) == 0
    assert in_child(lambda: check(folder, {"r1": 6})) == 0, (point, "after a repetition")
    return killed


def ship_point(folder, point, _):
    """Kill the shipper, ship again."""
    killed = killed_at(CODE["ship"], lambda: ship(folder), point)
    expected = {"r1": 6, "r2": 6, "failed": 6, "killed": 6, "short": 0}
    assert in_child(lambda: check(folder, expected)) == 0, point
    (aside_run,) = (folder / "damaged").iterdir()
    assert (aside_run / "part-00000.parquet").exists(), point
    return killed


def main(kind, folder, step):
    folder = Path(folder)
    model = folder / "model"
    if kind == "ship":
        assert in_child(lambda: prepare(model)) == -signal.SIGKILL
    rehearsal = folder / "rehearsal"
    copy(model, rehearsal)
    work = (lambda: acknowledged_job(rehearsal)) if kind == "job" else (lambda: ship(rehearsal))
    points = lines_of(CODE[kind], work, folder / "lines.json")[:: int(step)]
    killed = 0
    for number, point in enumerate(points):
        place = folder / "point"
        copy(model, place)
        killed += (job_point if kind == "job" else ship_point)(place, point, number)
        shutil.rmtree(place)
    print(json.dumps({"points": len(points), "killed": killed}))


def copy(model, place):
    if model.exists():
        shutil.copytree(model, place)
    else:
        place.mkdir(parents=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
