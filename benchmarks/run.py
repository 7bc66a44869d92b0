"""Runs every benchmark beside this file and says which limits were kept.

python benchmarks/run.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NO_BENCHMARKS = {"run.py", "job.py", "dashboard_home.py", "scoring_service.py"}  # what the others share


def main() -> int:
    results = {}
    for file in sorted(HERE.glob("*.py")):
        if file.name in NO_BENCHMARKS:
            continue
        print(f"\n== {file.stem}", flush=True)
        results[file.stem] = subprocess.run([sys.executable, str(file)], check=False).returncode
    print("\n| benchmark | limits |\n|---|---|")
    for name, code in results.items():
        print(f"| {name} | {'kept' if code == 0 else 'MISSED'} |")
    return max(results.values(), default=0)


if __name__ == "__main__":
    sys.exit(main())
