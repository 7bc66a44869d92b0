"""The same job by other libraries, each by its own usual way in an environment of its own: `make bench-peers`.

Baseline of 500,000 rows and a window of 1,000,000 rows of 30 features in Parquet; CPU seconds of the whole process from
raw files to results as Python objects, imports left out. A peer that cannot be installed or run is a line that says so.

    python benchmarks/peers/run.py --only ours scipy --write docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import job  # noqa: E402 - beside this folder

ENVIRONMENTS = Path(os.environ.get("TILTMETER_PEERS", job.FOLDER / "peers"))
PEERS = {
    "ours": [],
    "scipy": ["numpy", "scipy", "pandas>=2.2", "pyarrow"],
    "evidently": ["evidently==0.7.23", "pandas<3", "pyarrow"],
    "nannyml": ["nannyml==0.13.1", "statsmodels", "pyarrow"],
    "whylogs": ["whylogs[viz]==1.6.4", "pandas<3", "pyarrow"],
}
LIMIT_SECONDS = 1_800


def interpreter(peer: str) -> Path:
    """Python of the peer's environment, made on first use."""
    if peer == "ours":
        return Path(sys.executable)
    python = ENVIRONMENTS / peer / "bin" / "python"
    if not python.exists():
        print(f"installing {peer} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENTS / peer)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS[peer]]
        subprocess.run(install, check=True)
    return python


def measured(peer: str, baseline: Path, window: Path) -> dict[str, float | str]:
    """CPU seconds by part, or why there are none."""
    try:
        python = interpreter(peer)
        command = [str(python), "-W", "ignore", str(HERE / f"job_{peer}.py"), str(baseline), str(window)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {LIMIT_SECONDS} s"}
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()[-1:] or ["failed"]
        return {"error": said[0][:160]}
    found: dict[str, float | str] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(results: dict[str, dict[str, float | str]], rows: int) -> str:
    """The results as Markdown, with ratios to ours."""
    ours = results.get("ours", {})
    warm, cold = ours.get("warm"), ours.get("cold")
    lines = [
        f"Baseline 500,000 rows, window {rows:,} rows, 30 features; CPU seconds. Command: `make bench-peers`.",
        "",
        "| library | CPU s | peak MB | ratio, stored baseline | ratio, baseline built in the run |",
        "|---|--:|--:|--:|--:|",
    ]
    for peer, found in results.items():
        if "error" in found:
            lines.append(f"| {peer} | did not run: {found['error']} | | | |")
        elif peer == "ours":
            lines.append(f"| ours, stored baseline | {found['warm']:.2f} | {found['peak_mb']:.0f} | 1 | |")
            lines.append(f"| ours, baseline built in the run | {found['cold']:.2f} | {found['peak_mb']:.0f} | | 1 |")
        else:
            ratios = [f"{found['cpu'] / part:.0f} ×" if part else "–" for part in (warm, cold)]  # type: ignore[operator]
            lines.append(f"| {peer} | {found['cpu']:.1f} | {found['peak_mb']:.0f} | {ratios[0]} | {ratios[1]} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    baseline, window = job.file(500_000, seed=3, shift=0.0), job.file(given.rows)
    results = {}
    for peer in given.only:
        results[peer] = measured(peer, baseline, window)
        print(f"{peer}: {results[peer]}", file=sys.stderr, flush=True)
    text = table(results, given.rows)
    print(text)
    if given.write:
        given.write.write_text(f"# Beside other libraries\n\n{text}", encoding="utf-8")
    return 1 if "error" in results.get("ours", {}) else 0


if __name__ == "__main__":
    sys.exit(main())
