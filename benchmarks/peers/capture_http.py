"""What watching a service over HTTP costs: capture (with payload) beside two peers (without), in one run.

Needs `wrk` and, in an environment of its own: tiltmeter, fastapi, uvicorn, uvloop, httptools, scikit-learn,
prometheus-fastapi-instrumentator, opentelemetry-instrumentation-fastapi, opentelemetry-sdk.

    python benchmarks/peers/capture_http.py [--generations 6] [--rounds 4] [--part plain|model] [--json]

One uvicorn worker each; one-second bursts of eight connections go to the servers in shuffled order, each compared with
the bare server of the same generation. There are several, for the same server started twice differs by some percent:
where its memory lies decides how well the model's own code runs. CPU is the server process's own, as the kernel counts
it. A second part puts a scikit-learn pipeline behind the route, of as many trees as take a millisecond.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONNECTIONS = 8
PREDICT_US = 1_000
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
VARIANTS = ("bare", "tiltmeter", "tiltmeter, reduced", "prometheus", "opentelemetry")
MODEL_VARIANTS = ("bare", "tiltmeter", "prometheus")
MOST_OF_PROMETHEUS, MOST_OF_OPENTELEMETRY, LEAST_WITH_MODEL = 0.5, 0.1, 0.96


def serve(variant, port, trees):
    """One server, until it is killed; without a model for no trees."""
    import uvicorn

    import capture as apps

    predict = model(trees) if trees else None
    made = {
        "bare": lambda: apps.service(predict),
        "tiltmeter": lambda: apps.captured(predict),
        "tiltmeter, reduced": lambda: apps.captured(predict, drop=["word_3"]),
        "prometheus": lambda: apps.instrumented(predict),
        "opentelemetry": lambda: apps.traced(predict),
    }
    uvicorn.run(made[variant](), port=port, log_level="critical", access_log=False)


def model(trees):
    """A pipeline that predicts one row with so many trees."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(7)
    rows = rng.normal(size=(5000, 16))
    fitted = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=trees))
    fitted.fit(rows, rows[:, 0] + rng.normal(size=5000) > 0)
    names = [f"number_{n}" for n in range(16)]

    def predict(lead):
        return float(fitted.predict_proba(np.array([[getattr(lead, name) for name in names]]))[0, 1])

    return predict


def trees_of_a_millisecond():
    """How many trees predict one row in `PREDICT_US` on this machine, between two numbers that were timed."""
    import capture as apps

    lead = apps.Lead(**apps.NUMBERS, **apps.WORDS)
    few, many = 50, 400
    least = {trees: predict_us(model(trees), lead) for trees in (few, many)}
    return max(1, round(few + (PREDICT_US - least[few]) * (many - few) / (least[many] - least[few])))


def predict_us(predict, lead, rounds=7, calls=200):
    """CPU microseconds of one prediction, the least of several rounds."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(calls):
            predict(lead)
        found.append((time.process_time() - began) / calls * 1e6)
    return min(found)


def started(variant, trees, folder):
    """A running server: its process and port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, __file__, "--serve", variant, "--port", str(port)]
    command += ["--trees", str(trees)]
    environment = os.environ | ONE_THREAD | {"TMPDIR": folder}
    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return process, port
        time.sleep(0.1)
    process.kill()
    raise SystemExit(f"the server {variant} did not start")


def cpu_seconds(pid):
    """CPU of all threads of a process, from the scheduler's nanoseconds."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def burst(process, port, script, seconds):
    """Requests a second, CPU microseconds a request, P99 in milliseconds."""
    before = cpu_seconds(process.pid)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", script]
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/score"], check=True, capture_output=True, text=True
    ).stdout
    cpu = cpu_seconds(process.pid) - before
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"answers were wrong:\n{said}")
    requests = int(re.search(r"(\d+) requests in", said)[1])
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()
    p99 = float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return rate, cpu / requests * 1e6, p99


def measured(variants, trees, times, folder, script):
    """Medians of (rate, CPU, P99) of every variant, by generation of servers."""
    found = {variant: [] for variant in variants}
    for _ in range(times.generations):
        bursts = of_generation(variants, trees, times.rounds, folder, script)
        for variant, made in bursts.items():
            found[variant].append(tuple(map(statistics.median, zip(*made, strict=True))))
    return found


def of_generation(variants, trees, rounds, folder, script):
    """(rate, CPU, P99) of every burst by variant, in rounds."""
    servers = {variant: started(variant, trees, folder) for variant in variants}
    found = {variant: [] for variant in variants}
    try:
        for server in servers.values():
            burst(*server, script, 1)
        for _ in range(rounds):
            for variant in random.sample(variants, len(variants)):
                found[variant].append(burst(*servers[variant], script, 1))
    finally:
        for process, _ in servers.values():
            process.kill()
            process.wait()
    return found


def median_of(values, samples=2000):
    """Median and its 95 % bootstrap interval."""
    drawn = sorted(statistics.median(random.choices(values, k=len(values))) for _ in range(samples))
    return statistics.median(values), drawn[samples // 40], drawn[-samples // 40 - 1]


def compared(found):
    """What each variant adds to the bare server, paired by generation."""
    bare = found["bare"]
    rows = {}
    for variant, bursts in found.items():  # a burst stands for a generation
        pairs = list(zip(bursts, bare, strict=True))
        rows[variant] = {
            "requests_per_second": statistics.median(one[0] for one in bursts),
            "cpu_us": statistics.median(one[1] for one in bursts),
            "added_cpu_us": median_of([one[1] - other[1] for one, other in pairs]),
            "rate_ratio": median_of([one[0] / other[0] for one, other in pairs]),
            "p99_ratio": median_of([one[2] / other[2] for one, other in pairs]),
        }
    return rows


def shown(title, rows):
    """A table of one part."""
    print(f"\n{title}")
    print(f"{'':20} {'req/s':>8} {'CPU us':>8}  {'added CPU us':24} {'req/s ratio':22} P99 ratio")
    for name, row in rows.items():
        parts = [
            f"{row[key][0]:{form}} ({row[key][1]:{form}} … {row[key][2]:{form}})"
            for key, form in (("added_cpu_us", "+.1f"), ("rate_ratio", ".3f"), ("p99_ratio", ".2f"))
        ]
        numbers = f"{row['requests_per_second']:8.0f} {row['cpu_us']:8.1f}"
        print(f"{name:20} {numbers}  {parts[0]:24} {parts[1]:22} {parts[2]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=4, help="bursts of each server of a generation")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=["plain", "model"], help="one of the two parts; both by default")
    parser.add_argument("--serve", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--trees", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, asked.port, asked.trees)
        return 0
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    sys.path.insert(0, str(Path(__file__).parent))
    import capture as apps
    from tiltmeter.capture.swift import FORM

    with tempfile.TemporaryDirectory(prefix="bench-http-") as folder:
        script = Path(folder, "post.lua")
        body = apps.BODY.decode().replace("'", "\\'")
        script.write_text(
            f"wrk.method = 'POST'\nwrk.body = '{body}'\nwrk.headers['Content-Type'] = 'application/json'\n"
        )
        plain = with_model = None
        trees = 0
        if asked.part != "model":
            plain = compared(measured(VARIANTS, 0, asked, folder, str(script)))
        if asked.part != "plain":
            os.environ |= ONE_THREAD  # as the servers, and before scikit-learn is loaded
            trees = trees_of_a_millisecond()
            with_model = compared(measured(MODEL_VARIANTS, trees, asked, folder, str(script)))
    limits = judged(plain, with_model)
    if asked.json:
        print(json.dumps({"form": FORM, "plain": plain, "model": with_model, "limits": limits}, indent=1))
    else:
        print(f"capture is {FORM}")
        if plain:
            shown("without a model", plain)
        if with_model:
            shown(f"with a model of {PREDICT_US:,} us ({trees} trees)", with_model)
        for name, (found, limit, is_kept) in limits.items():
            print(f"{name} {found:.3f}, limit {limit}{'' if is_kept else ': missed'}")
    return 0 if all(is_kept for _, _, is_kept in limits.values()) else 1


def judged(plain, with_model):
    """(measured, limit, whether it is kept) of each limit that was measured."""
    found = {}
    if plain:
        added = {name: row["added_cpu_us"][0] for name, row in plain.items()}
        for peer, most in (("prometheus", MOST_OF_PROMETHEUS), ("opentelemetry", MOST_OF_OPENTELEMETRY)):
            share = added["tiltmeter"] / added[peer]
            found[f"added CPU beside {peer}"] = (share, most, share <= most)
    if with_model:
        rate = with_model["tiltmeter"]["rate_ratio"][0]
        found["requests/s beside bare, with a model"] = (rate, LEAST_WITH_MODEL, rate >= LEAST_WITH_MODEL)
    return found


if __name__ == "__main__":
    sys.exit(main())
