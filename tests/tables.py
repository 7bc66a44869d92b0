"""Small stand-ins that tests of tables share: a clock that is set by hand, rows of an Arrow table."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Time that moves when told."""

    def __init__(self, at: datetime = datetime(2026, 3, 10, 12, tzinfo=UTC)) -> None:
        self.at = at
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def pass_(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.seconds += seconds


class Frame:
    """An Arrow table as Rows."""

    name, version = "table", None

    def __init__(self, table) -> None:
        self.table = table
        self.schema = table.schema

    def count(self):
        return self.table.num_rows

    def batches(self, columns=None):
        yield from (self.table if columns is None else self.table.select(list(columns))).to_batches()
