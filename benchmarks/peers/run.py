"""The same job by other libraries, each by its own usual way in an environment of its own: `make bench-peers`.

Baseline of 500,000 rows and a window of 1,000,000 rows of 30 features in Parquet; CPU seconds of the whole process from
raw files to results as Python objects, imports left out. A peer that cannot be installed or run is a line that says so.

    python benchmarks/peers/run.py --only ours scipy

Limits, as ratios of CPU seconds: with a stored baseline at least 400 for Evidently, 100 for NannyML and whylogs, 20 for
SciPy with pandas; with the baseline built in the run 100, 25 and 5. The machine is shared and its speed changes within
minutes: ours runs before and after every peer, and a ratio is of the peer to the mean of those two. Each library is
kept to one core: two threads that share a core's units take more CPU seconds for the same work, and most peers have
one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import job  # noqa: E402 - beside this folder

ENVIRONMENTS = Path(os.environ.get("TILTMETER_PEERS", job.FOLDER / "peers"))


class Peer(NamedTuple):
    """A library: how to install it, which version to name, what its job leaves out, and the least ratios to ours."""

    install: tuple[str, ...]
    named: tuple[str, ...]
    leaves_out: str
    stored: float
    built: float


PEERS = {
    "ours": Peer((), ("tiltmeter", "numpy", "pyarrow", "numba"), "", 0, 0),
    "scipy": Peer(
        ("numpy", "scipy", "pandas>=2.2", "pyarrow"),
        ("scipy", "pandas"),
        "nothing of the set, and its KS and Wasserstein are exact; written by hand for this job",
        20,
        5,
    ),
    "evidently": Peer(
        ("evidently==0.7.23", "pandas<3", "pyarrow"),
        ("evidently", "pandas"),
        "outliers; one method a column and run, so four reports",
        400,
        100,
    ),
    "nannyml": Peer(
        ("nannyml==0.13.1", "statsmodels", "pyarrow"),
        ("nannyml", "pandas"),
        "PSI and KL (Jensen-Shannon instead), cardinality, histograms, outliers; works in 30 chunks",
        100,
        25,
    ),
    "whylogs": Peer(
        ("whylogs[viz]==1.6.4", "pandas<3", "pyarrow"),
        ("whylogs", "pandas"),
        "PSI and KL (Hellinger instead), outliers; KS from sketches",
        100,
        25,
    ),
}
QUIET = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}
"""Peers that report their use over the network are told not to: no time is spent waiting for it."""
LIMIT_SECONDS = 1_800


def interpreter(peer: str) -> Path:
    """Python of the peer's environment, made on first use."""
    if peer == "ours":
        return Path(sys.executable)
    python = ENVIRONMENTS / peer / "bin" / "python"
    if not python.exists():
        print(f"installing {peer} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENTS / peer)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[peer].install]
        subprocess.run(install, check=True)
    return python


def measured(peer: str, baseline: Path, window: Path) -> dict[str, float | str]:
    """CPU seconds by part, or why there are none."""
    try:
        python = interpreter(peer)
        environment = os.environ | QUIET
        command = [str(python), "-W", "ignore", str(HERE / f"job_{peer}.py"), str(baseline), str(window)]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=LIMIT_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {LIMIT_SECONDS} s"}
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()[-1:] or ["failed"]
        return {"error": said[0][:160]}
    found: dict[str, float | str] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def versions(peer: str) -> str:
    """The installed versions that count, such as `scipy 1.17.1, pandas 3.1.1`."""
    names = PEERS[peer].named
    code = (
        "import sys; from importlib.metadata import version; "
        "print(', '.join(f'{name} {version(name)}' for name in sys.argv[1:]))"
    )
    done = subprocess.run([str(interpreter(peer)), "-c", code, *names], check=False, capture_output=True, text=True)
    return done.stdout.strip() or ", ".join(names)


def machine() -> str:
    """Processor, cores and interpreter of this run."""
    information = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in information.splitlines() if line.startswith("model name")]
    return (
        f"{os.cpu_count()} cores of {models[0] if models else platform.machine()}, Python {platform.python_version()}"
    )


def ratios(found: dict[str, float | str]) -> tuple[float, float]:
    """CPU seconds of a peer as multiples of ours around it: stored baseline, baseline built in the run."""
    return float(found["cpu"]) / float(found["warm"]), float(found["cpu"]) / float(found["cold"])


def around(before: dict[str, float | str], after: dict[str, float | str]) -> dict[str, float]:
    """Our CPU seconds at the time of a peer; empty when ours did not run."""
    parts = ("warm", "cold")
    if not all(part in run for run in (before, after) for part in parts):
        return {}
    return {part: statistics.mean((float(before[part]), float(after[part]))) for part in parts}


def middle(runs: list[dict[str, float | str]]) -> dict[str, float | str]:
    """Our run of median seconds."""
    done = sorted((run for run in runs if "warm" in run), key=lambda run: float(run["warm"]))
    return done[len(done) // 2] if done else runs[0]


def table(results: dict[str, dict[str, float | str]], rows: int) -> str:
    """The results as Markdown, with ratios to ours."""
    made = f"CPU seconds on one core; command: `make bench-peers`; {datetime.now(UTC):%Y-%m-%d}, {machine()}"
    lines = [
        f"Baseline 500,000 rows, window {rows:,} rows, 30 features. {made}.",
        "",
        "| library | CPU s | peak MB | ratio, stored baseline | ratio, baseline built in the run | leaves out |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for peer, found in results.items():
        name, left_out = versions(peer), PEERS[peer].leaves_out
        if "error" in found:
            lines.append(f"| {name} | did not run: {found['error']} | | | | |")
        elif peer == "ours":
            lines.append(f"| **{name}**, stored baseline | {found['warm']:.2f} | {found['peak_mb']:.0f} | 1 | | |")
            lines.append(
                f"| the same, baseline built in the run | {found['cold']:.2f} | {found['peak_mb']:.0f} | | 1 | |"
            )
        else:
            shown = [f"{ratio:.0f} ×" for ratio in ratios(found)] if "warm" in found else ["–", "–"]
            lines.append(
                f"| {name} | {found['cpu']:.1f} | {found['peak_mb']:.0f} | {shown[0]} | {shown[1]} | {left_out} |"
            )
    return "\n".join(lines) + "\n"


def missed(results: dict[str, dict[str, float | str]]) -> list[str]:
    """Limits that were not kept, in words; a peer that did not run misses none."""
    if "warm" not in results["ours"]:
        return ["ours did not run"]
    words = []
    for name, found in results.items():
        if name == "ours" or "cpu" not in found or "warm" not in found:
            continue
        peer = PEERS[name]
        for what, ratio, least in zip(("stored", "built"), ratios(found), (peer.stored, peer.built), strict=True):
            if ratio < least:
                words.append(f"{name}, baseline {what}: {ratio:.0f} times, limit {least:.0f}")
    return words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="*", choices=list(PEERS), default=list(PEERS))
    given = parser.parse_args()
    baseline, window = job.file(500_000, seed=3, shift=0.0), job.file(given.rows)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})  # and so every process that is started from here
    ours = [measured("ours", baseline, window)]
    results = {"ours": ours[0]}
    for peer in [one for one in given.only if one != "ours"]:
        found = measured(peer, baseline, window)
        ours.append(measured("ours", baseline, window))
        results[peer] = found | around(ours[-2], ours[-1])
        print(f"{peer}: {results[peer]}", file=sys.stderr, flush=True)
    results["ours"] = middle(ours)
    print(table(results, given.rows))
    kept = missed(results)
    print("limits: " + ("MISSED: " + "; ".join(kept) if kept else "kept"))
    return 1 if kept else 0


if __name__ == "__main__":
    sys.exit(main())
