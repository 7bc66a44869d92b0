"""What `tiltmeter doctor` says about tables and spool: damage, missing files, what waits, what was not kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tiltmeter.capture.batch import BATCH_FOLDER
from tiltmeter.capture.budget import Budget, used_bytes
from tiltmeter.capture.counters import NAMES, read_counters, read_forms
from tiltmeter.capture.files import LOCAL_FILES
from tiltmeter.capture.run_folder import is_held
from tiltmeter.capture.spool import read_segment, sealed_segments
from tiltmeter.domain.batch_run import WRITING
from tiltmeter.domain.errors import StoreError, TiltmeterError
from tiltmeter.ingest.batch_parts import waiting_runs
from tiltmeter.ingest.killed_runs import ABANDONED_AFTER
from tiltmeter.service.findings import Finding, State
from tiltmeter.store.maintenance import rows_in
from tiltmeter.store.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiltmeter.config.load import Configuration
    from tiltmeter.store.delta import DeltaLog

FRESH_SECONDS = 300
"""Older sealed segments mean that no shipper is at work."""

MOST_READ = 200
"""Segments that are read for damage; a long outage may leave thousands."""

_NEARLY_FULL = 0.8
_SHIP = "start `tiltmeter serve` or `tiltmeter ship` on this host; if it runs, can it reach the tables above?"


def table_findings(log: DeltaLog) -> Iterator[Finding]:
    """Each table that exists: its newest log entry is whole, and every file that it names is there in full."""
    for name in TABLES:
        try:
            handle = log.table(name).reading()
            if handle is None:
                continue
            gone = _missing_files(log, name, handle)
            if gone:
                says = f"{name}: {_number(len(gone), 'data file')} missing or cut, such as {gone[0]}"
                yield Finding(
                    "tables", State.WRONG, says,
                    "put them back from a backup, or restore the last version that does not need them",
                )  # fmt: skip
            else:
                files = _number(len(handle.file_uris()), "file")
                says = f"{name}: {_number(rows_in(handle), 'row')} in {files} at version {handle.version():,}"
                yield Finding("tables", State.OK, says)
        except StoreError as error:
            says = f"{name}: {error.what} ({error.at})" if error.at else f"{name}: {error.what}"
            yield Finding(
                "tables", State.WRONG, says, f"{error.hint or 'mend this first'}; the spool keeps new records"
            )


def _number(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _missing_files(log: DeltaLog, name: str, handle: object) -> list[str]:
    files = log.table(name).files
    if not files.is_local:
        return []  # one request a file: an object store keeps what it took
    added = handle.get_add_actions(flatten=True)  # type: ignore[attr-defined]  # a deltalake.DeltaTable
    places = zip(added.column("path").to_pylist(), added.column("size_bytes").to_pylist(), strict=True)
    return [path for path, size in places if _size(Path(files.root, path)) != size]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def spool_findings(configuration: Configuration, now: float) -> Iterator[Finding]:
    """What waits, whether there is room, what is damaged, and what was not kept.

    Args:
        configuration: where the spool lies and how much it may hold.
        now: seconds since 1970.
    """
    settings = configuration.settings.capture.spool
    spool = Path(configuration.placed(settings.path))
    if not spool.exists():
        yield Finding("spool", State.NOTE, f"{spool} does not exist: no request was captured yet")
        return
    waiting = sealed_segments(spool)
    age = max((now - segment.path.stat().st_mtime for segment in waiting), default=0.0)
    size = sum(segment.bytes for segment in waiting)
    if age > FRESH_SECONDS:
        says = f"waiting: {_number(len(waiting), 'segment')}, {size / 1e6:.1f} MB, the oldest for {age:.0f} s"
        yield Finding("spool", State.WRONG, says, _SHIP)
    else:
        says = f"waiting: {_number(len(waiting), 'segment')}, {size / 1e6:.1f} MB" if waiting else "nothing waits"
        yield Finding("spool", State.OK, says)
    yield from _runs(spool / BATCH_FOLDER, now)
    yield from _room(spool, Budget(settings.max_bytes, settings.min_free), settings.on_full)
    forms = Counter(read_forms(spool).values())
    if forms:
        said = ", ".join(f"{form} in {_number(slots, 'slot')}" for form, slots in sorted(forms.items()))
        yield Finding("spool", State.OK, f"capture ran {said}")
    yield from _damage(spool)
    yield from _not_kept(spool)
    aside = sorted((configuration.home / "damaged").glob("*"))
    if aside:
        runs = sum(path.name.startswith("batch-") for path in aside)
        says = f"set aside: {_number(len(aside), 'damaged file')} in {configuration.home / 'damaged'}"
        to_do = "their readable records are in the table; look at the disk, then delete them"
        if runs:
            says += f", {_number(runs, 'batch run')} among them"
            to_do += "; of batch runs that holds in part: run the job again under the same run id"
        yield Finding("spool", State.NOTE, says, to_do)


def _runs(batch: Path, now: float) -> Iterator[Finding]:
    """Batch runs that wait, and those that are written or whose process ended without a word."""
    waiting = waiting_runs(batch)
    if waiting:
        age = max(now - min(map(_written, waiting)), 0.0)
        says = f"{_number(len(waiting), 'batch run')} waiting, the oldest for {age:.0f} s"
        is_late = age > FRESH_SECONDS
        yield Finding("spool", State.WRONG if is_late else State.OK, says, _SHIP if is_late else "")
    for folder in sorted(batch.glob(f"*{WRITING}*")):
        if is_held(folder):
            yield Finding("spool", State.OK, f"batch run being written: {folder.name.partition(WRITING)[0]}")
        elif now - _written(folder) > FRESH_SECONDS:
            says = f"batch run whose process ended: {folder.name}, untouched for {now - _written(folder):.0f} s"
            to_do = f"a shipper on the host that wrote it ends it at once, any other {ABANDONED_AFTER.days} days later"
            yield Finding("spool", State.NOTE, says, to_do)


def _written(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # shipped while we looked
        return float("inf")


def _room(spool: Path, budget: Budget, on_full: str) -> Iterator[Finding]:
    used, (free, total) = used_bytes(LOCAL_FILES, spool), LOCAL_FILES.space(spool)
    full = f"(on_full: {on_full})"
    if budget.room(LOCAL_FILES, spool) <= 0:
        if used >= budget.max_bytes:
            says = f"full: {used / 1e6:,.1f} MB of {budget.max_bytes / 1e6:,.1f}; requests are not recorded {full}"
            yield Finding("spool", State.WRONG, says, f"{_SHIP} Or raise capture.spool.max_bytes")
        else:
            says = f"only {free / total:.1%} of its disk is free; requests are not recorded below {budget.min_free:.0%}"
            yield Finding("spool", State.WRONG, f"{says} {full}", "free space on that disk")
    elif used > _NEARLY_FULL * budget.max_bytes:
        says = f"{used / budget.max_bytes:.0%} of its {budget.max_bytes / 1e6:,.1f} MB are used"
        yield Finding("spool", State.NOTE, says, _SHIP)


def _damage(spool: Path) -> Iterator[Finding]:
    damaged, lost, is_exact = [], 0, True
    for segment in sealed_segments(spool)[:MOST_READ]:
        try:
            contents = read_segment(segment.path)
        except FileNotFoundError:
            continue  # shipped while we looked
        except OSError as error:
            says = f"{segment.path} cannot be read ({error.strerror})"
            yield Finding("spool", State.WRONG, says, "look at the disk; its slot waits, the others are shipped")
            continue
        except TiltmeterError:
            damaged.append(segment.path)
            is_exact = False
            continue
        if contents.damaged:
            damaged.append(segment.path)
            lost += contents.lost_records
            is_exact = is_exact and contents.lost_exact
    if damaged:
        number = f"{lost:,}" if is_exact else f"at least {lost:,}"
        says = f"damaged: {_number(len(damaged), 'segment')}, such as {damaged[0]}; records lost: {number}"
        to_do = "nothing: the shipper takes every record that can be read and sets the file aside; look at the disk"
        yield Finding("spool", State.WRONG, says, to_do)


def _not_kept(spool: Path) -> Iterator[Finding]:
    counts: Counter[str] = Counter()
    for found in read_counters(spool).values():
        counts.update(found)
    for name, number in sorted(counts.items()):
        if number and name in NAMES:
            yield Finding(
                "spool", State.NOTE, f"{number:,} {NAMES[name]} ({name})", "counted since the slots were made"
            )
