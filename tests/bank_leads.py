"""The bank's leads month by month: who called when follows from the row ranges that come with the data set."""

from __future__ import annotations

import calendar
import gzip
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

FILE = "bank-additional-full.csv.gz"
IGNORED = "duration,month,day_of_week"
BASELINE_END = "2008-09-01"

# Row ranges (0-based, end exclusive) of each month, from the run lengths of the column `month`.
RANGES = {
    "2008-05": (0, 7763), "2008-06": (7763, 12137), "2008-07": (12137, 18822), "2008-08": (18822, 23997),
    "2008-10": (23997, 24064), "2008-11": (24064, 27680), "2008-12": (27680, 27690), "2009-03": (27690, 27972),
    "2009-04": (27972, 30430), "2009-05": (30430, 36224), "2009-06": (36224, 36939), "2009-07": (36939, 37117),
    "2009-08": (37117, 37887), "2009-09": (37887, 38154), "2009-10": (38154, 38601), "2009-11": (38601, 38958),
    "2009-12": (38958, 39130), "2010-03": (39130, 39394), "2010-04": (39394, 39568), "2010-05": (39568, 39780),
    "2010-06": (39780, 40009), "2010-07": (40009, 40320), "2010-08": (40320, 40553), "2010-09": (40553, 40856),
    "2010-10": (40856, 41060), "2010-11": (41060, 41188),
}  # fmt: skip
EMPTY_MONTHS = ("2008-09", "2009-01", "2009-02", "2010-01", "2010-02")
BASELINE_ROWS = RANGES["2008-08"][1]


def data_file() -> Path:
    """The data set, or a skip where it is not there."""
    folder = os.environ.get("TILTMETER_TEST_DATA")
    if not folder or not (Path(folder) / FILE).exists():
        pytest.skip(f"needs {FILE} in the folder that TILTMETER_TEST_DATA names")
    return Path(folder) / FILE


def months(folder: Path) -> Path:
    """Write `baseline.csv`, a file a month, and `history.csv` with a column `contacted_at` into the folder."""
    with gzip.open(data_file(), "rt") as stream:
        header, *rows = stream.read().splitlines()
    _write(folder / "baseline.csv", header, rows[:BASELINE_ROWS])
    timed = []
    for month, (first, end) in RANGES.items():
        _write(folder / f"{month}.csv", header, rows[first:end])
        moments = _moments(month, end - first)
        timed += [f"{row};{moment:%Y-%m-%d %H:%M:%S}" for row, moment in zip(rows[first:end], moments, strict=True)]
    _write(folder / "history.csv", f'{header};"contacted_at"', timed)
    return folder


def _moments(month: str, number: int) -> list[datetime]:
    """As many moments, evenly over the month."""
    year, number_of_month = (int(part) for part in month.split("-"))
    seconds = calendar.monthrange(year, number_of_month)[1] * 86_400
    start = datetime(year, number_of_month, 1)  # noqa: DTZ001 - written without a zone, as the file has it
    return [start + timedelta(seconds=position * seconds // number) for position in range(number)]


def _write(path: Path, header: str, rows: list[str]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n")
