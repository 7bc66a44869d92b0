"""Two months of leads compared: run it, read the answer, open drift.html."""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

import tiltmeter


def leads(rows: int, *, partner: float, forgotten: float, seed: int) -> list[dict[str, object]]:
    """Leads of a month: a share from the partner, a share without a phone number."""
    rng = random.Random(seed)  # noqa: S311 - made-up leads
    made: list[dict[str, object]] = []
    for number in range(rows):
        from_partner = rng.random() < partner
        size = rng.lognormvariate(5.0 if from_partner else 3.5, 0.8)
        made.append(
            {
                "lead_id": f"lead-{seed}-{number}",
                "source": "partner-x" if from_partner else rng.choice(["web", "fair", "phone"]),
                "company_size": round(size),
                "phone_known": "" if rng.random() < forgotten else rng.choice(["yes", "no"]),
                "score": round(min(0.99, 0.05 + size / 600), 4),
            }
        )
    return made


def main(folder: Path) -> None:
    """Write both months, compare them, write the page."""
    months = {
        "september": leads(3000, partner=0.0, forgotten=0.01, seed=9),
        "october": leads(2500, partner=0.15, forgotten=0.12, seed=10),
    }
    for name, rows in months.items():
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    result = tiltmeter.compare(folder / "september.csv", folder / "october.csv", ignore=["lead_id"], score="score")
    print(result.sentence)
    for name in result.drifted:
        feature = result[name]
        print(f"  {name}: {feature.severity.word}, PSI {feature.psi:.2f}, q {feature.psi_q_value:.1e}")
    result.to_html(folder / "drift.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
