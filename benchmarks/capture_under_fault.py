"""What the API notices of capture when the spool is healthy, full, on a full disk, or fed faster than it is shipped.

    python benchmarks/capture_under_fault.py [--rounds 30] [--form pure|compiled] [--json]

A FastAPI service with a scikit-learn pipeline of about a millisecond, bare and captured, both forms of capture.

Over HTTP one server a fault and two bare ones run all the time. They are asked in turns, one request or eight at once,
in shuffled order, so that a busy moment of the machine meets all of them. The P95 of a block of requests is compared
with the mean of both bare servers' in the same block; the first row, one bare server beside the other, shows how much
two equal processes differ. In process, bare and captured requests take turns one by one, by the clock and by the CPU
time of the thread, which a busy machine does not lengthen. What is given is the median of the paired values and its
95 % bootstrap interval; a limit counts as missed when the whole interval is beyond it.

`on_full="block"` waits for room by choice and is left out. The full disk is a tmpfs of 2 MB, which only root can mount.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]
AT_ONCE = (1, 8)
BLOCK_REQUESTS = 120
INSIDE_BLOCKS, INSIDE_REQUESTS = 12, 100
MOST_RATIO, MOST_ADDED_US = 1.10, 1_000.0
BARE, CONTROL = "bare", "one bare server beside the other"
CLOCKS = ("in process", "in process, CPU time")
LEFT_OUT_INSIDE = ("disk full, drop", "more than is shipped")
SHIP = "from tiltmeter.cli.app import main; main(['ship', '--spool', {spool!r}, '--config', {config!r}])"


# ---- what runs in processes of their own ----


def serve(kinds):
    """Every server, each a fork of one process that has imported everything: they differ in what they capture alone."""
    import uvicorn

    import scoring_service as scoring

    predict = scoring.predictor()
    for kind, (port, spool) in kinds.items():
        if os.fork() == 0:
            app = scoring.captured(predict, kind, spool) if kind in scoring.FAULTS else scoring.service(predict)
            uvicorn.run(app, port=port, log_level="critical", access_log=False)
            os._exit(0)
    signal.pause()


def inside(spools):
    """Prints what a request of the captured application takes more than one of the bare one, in turns, by fault."""
    import scoring_service as scoring

    predict, found = scoring.predictor(), {}
    bare = scoring.service(predict)
    gc.freeze()
    for fault, spool in spools.items():
        watched = scoring.captured(predict, fault, spool)
        blocks = asyncio.run(in_turns(bare, watched, scoring.BODY))
        for place, unit in enumerate(CLOCKS):
            pairs = [tuple(quantile([each[place] for each in took], 0.95) for took in both) for both in blocks]
            found.setdefault(unit, {})[fault] = pairs
    print(json.dumps(found))


async def in_turns(bare, watched, body):
    """Microseconds of requests to both, by the clock and of CPU, by block."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        pass

    async def one(app):
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": "POST",
            "path": "/score", "raw_path": b"/score", "query_string": b"", "root_path": "", "headers": headers,
            "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9), "state": {},
        }  # fmt: skip
        begun, spent = time.perf_counter_ns(), time.thread_time_ns()
        await app(scope, receive, send)
        return (time.perf_counter_ns() - begun) / 1000, (time.thread_time_ns() - spent) / 1000

    for app in (bare, watched) * 50:
        await one(app)
    blocks = []
    for _ in range(INSIDE_BLOCKS):
        took = [], []
        for number in range(2 * INSIDE_REQUESTS):
            which = (number + number // 2) % 2  # bare, captured, captured, bare: neither is always the first
            took[which].append(await one((bare, watched)[which]))
        blocks.append(took)
    return blocks


# ---- the client ----


class Connection(asyncio.Protocol):
    """Asks when told, and keeps how long the answer took."""

    def __init__(self, request):
        self.request, self.buffer, self.took = request, b"", []

    def connection_made(self, transport):
        """Keep it."""
        self.transport = transport

    def ask(self):
        """One request; what to wait for."""
        self.answered = asyncio.get_running_loop().create_future()
        self.begun = time.perf_counter_ns()
        self.transport.write(self.request)
        return self.answered

    def data_received(self, data):
        """A part of an answer."""
        self.buffer += data
        head, ended, body = self.buffer.partition(b"\r\n\r\n")
        if ended and len(body) >= int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0]):
            self.took.append((time.perf_counter_ns() - self.begun) / 1000)
            self.buffer = b""
            self.answered.set_result(None)

    def connection_lost(self, error):
        """The server must not hang up."""
        if not self.answered.done():
            self.answered.set_exception(error or ConnectionError("the server hung up"))


async def blocks_of(ports, request, rounds):
    """P95 of every block: requests at once -> kind -> blocks."""
    loop = asyncio.get_running_loop()
    found = {}
    for at_once in AT_ONCE:
        lines = {
            kind: [
                (await loop.create_connection(lambda: Connection(request), "127.0.0.1", port))[1]
                for _ in range(at_once)
            ]
            for kind, port in ports.items()
        }
        await turns(lines, 20)
        found[at_once] = {kind: [] for kind in ports}
        for _ in range(rounds):
            for kind, took in (await turns(lines, BLOCK_REQUESTS // at_once)).items():
                found[at_once][kind].append(quantile(took, 0.95))
        for line in (line for several in lines.values() for line in several):
            line.transport.close()
    return found


async def turns(lines, number):
    """Microseconds of every request: each server answers one lot, in shuffled order, then each the next."""
    for line in (line for several in lines.values() for line in several):
        line.took = []
    for _ in range(number):
        for kind in random.sample(list(lines), len(lines)):
            await asyncio.gather(*(line.ask() for line in lines[kind]))
    return {kind: [one for line in several for one in line.took] for kind, several in lines.items()}


# ---- one form ----


def measured(form, environment, faults, rounds):
    """What each fault adds: over HTTP by connections, and in process."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-fault-")))
        spools = {fault: folder / f"spool-{number}" for number, fault in enumerate(faults)}
        small = small_disk(folder / "small", stack)
        if small is None:
            spools.pop("disk full, drop", None)
        else:
            spools["disk full, drop"] = small
            fill(small)
        kinds = {BARE: folder, CONTROL: folder, **spools}
        servers = started(kinds, environment, stack)
        start_shipping(spools["more than is shipped"], folder, stack)
        request = request_bytes()
        for port in servers.values():
            wait_for(port)
        gc.disable()
        found = asyncio.run(blocks_of(servers, request, rounds))
        gc.enable()
    with tempfile.TemporaryDirectory(prefix="bench-fault-") as fresh:
        spools = {fault: str(Path(fresh, str(n))) for n, fault in enumerate(spools) if fault not in LEFT_OUT_INSIDE}
        command = [sys.executable, __file__, "--inside", json.dumps(spools)]
        said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    result = {f"HTTP, {n} at once": compared(by_kind) for n, by_kind in found.items()}
    for clock, pairs in json.loads(said).items():
        result[clock] = {fault: beside(*zip(*found, strict=True)) for fault, found in pairs.items()}
    return {"form": form, "found": result}


def small_disk(folder, stack):
    """A tmpfs of 2 MB, or None where it cannot be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        return None
    stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
    return folder


def fill(folder):
    """Leave room for a slot and a few records."""
    with (folder / "other").open("wb") as other:
        other.write(bytes(2 * 1024 * 1024 - 65_536))


def started(spools, environment, stack):
    """Port of each server."""
    kinds = {}
    for kind, spool in spools.items():
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            kinds[kind] = found.getsockname()[1], str(spool)
    command = [sys.executable, __file__, "--serve", json.dumps(kinds)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    stack.callback(process.wait)
    stack.callback(os.killpg, process.pid, signal.SIGKILL)
    return {kind: port for kind, (port, _) in kinds.items()}


def start_shipping(spool, folder, stack):
    """`tiltmeter ship` beside the server whose spool is too small for what comes."""
    config = folder / "tiltmeter.yaml"
    config.write_text("models:\n  lead-scoring: {}\n")
    code = SHIP.format(spool=str(spool), config=str(config))
    spool.mkdir()
    output = stack.enter_context((folder / "ship.log").open("wb"))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=output, stderr=output)
    stack.callback(process.wait)
    stack.callback(process.kill)


def wait_for(port):
    """Until the server accepts."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"no server at port {port} after 180 s")


def request_bytes():
    """The request as it goes over the wire."""
    import scoring_service as scoring

    head = f"POST /score HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\nContent-Length: {len(scoring.BODY)}"
    return head.encode() + b"\r\n\r\n" + scoring.BODY


# ---- what it says ----


def quantile(values, share):
    """The value below which this share lies."""
    return sorted(values)[int(len(values) * share)]


def compared(by_kind):
    """Each kind beside both bare servers."""
    first, second = by_kind.pop(BARE), by_kind.pop(CONTROL)
    both = [statistics.fmean(pair) for pair in zip(first, second, strict=True)]
    return {CONTROL: beside(first, second)} | {kind: beside(both, found) for kind, found in by_kind.items()}


def beside(bare, watched):
    """P95 of both, their paired ratio, and what is added in microseconds."""
    pairs = list(zip(bare, watched, strict=True))
    return {
        "bare_us": statistics.median(bare),
        "ratio": median_of([other / one for one, other in pairs]),
        "added_us": median_of([other - one for one, other in pairs]),
    }


def median_of(values, samples=2000):
    """Median and its 95 % bootstrap interval."""
    drawn = sorted(statistics.median(random.choices(values, k=len(values))) for _ in range(samples))
    return statistics.median(values), drawn[samples // 40], drawn[-samples // 40 - 1]


def missed(result):
    """What is over a limit for certain."""
    return [
        f"{result['form']}, {where}, {kind}"
        for where, rows in result["found"].items()
        for kind, row in rows.items()
        if kind != CONTROL and (row["ratio"][1] > MOST_RATIO or row["added_us"][1] >= MOST_ADDED_US)
    ]


def show(result):
    """A table a place."""
    for where, rows in result["found"].items():
        bare = next(iter(rows.values()))["bare_us"]
        print(f"\ncapture is {result['form']}; {where}; P95 of the bare service {bare:,.0f} us")
        print(f"{'':36} {'P95 beside bare':24} added us")
        for kind, row in rows.items():
            ratio, added = ((*row[key],) for key in ("ratio", "added_us"))
            beside_bare = "{:.3f} ({:.3f} … {:.3f})".format(*ratio)
            print(f"{kind:36} {beside_bare:24} {'{:+,.0f} ({:+,.0f} … {:+,.0f})'.format(*added)}", flush=True)


def environments(wanted, stack):
    """Environment of each form: this installation kept to Python, and the wheel as it is built."""
    usual = os.environ | {"OMP_NUM_THREADS": "1"}
    if wanted != "compiled":
        yield "pure Python", usual | {"TILTMETER_CAPTURE": "python"}
    if wanted == "pure":
        return
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-wheel-"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"TILTMETER_COMPILE": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"the compiled form is left out: {done.stderr.strip().splitlines()[-1]}")
        return
    shutil.unpack_archive(next(Path(folder).glob("*.whl")), Path(folder, "installed"), "zip")
    yield "compiled", usual | {"PYTHONPATH": str(Path(folder, "installed")), "TILTMETER_CAPTURE": ""}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--form", choices=["pure", "compiled"], help="one of the two forms; both by default")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve)
        return 0
    if asked.inside:
        inside(asked.inside)
        return 0
    import scoring_service as scoring

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers end and the small disk goes away
    forms = []
    with ExitStack() as stack:
        for form, environment in environments(asked.form, stack):
            forms.append(measured(form, environment, list(scoring.FAULTS), asked.rounds))
            if not asked.json:
                show(forms[-1])
    over = [name for result in forms for name in missed(result)]
    if asked.json:
        print(json.dumps({"forms": forms, "missed": over}, indent=1))
        return int(bool(over))
    print(f"\nP95 at most {MOST_RATIO} of bare, less than {MOST_ADDED_US:,.0f} us added: {'; '.join(over) or 'kept'}")
    return int(bool(over))


if __name__ == "__main__":
    sys.exit(main())
