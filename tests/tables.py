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


def prediction_rows(
    rows: int, *, first: int = 0, at: datetime = datetime(2026, 3, 10, 9, tzinfo=UTC), model="lead-scoring"
):
    """Rows of `predictions` with two features; every row is a lead of its own."""
    import pyarrow as pa

    from tiltmeter.store.schema import PREDICTIONS

    made = [
        {
            "event_id": f"e-{first + place}", "request_id": f"r-{first + place}", "request_date": at.date(),
            "request_time": at + timedelta(milliseconds=place), "source": "api", "model_name": model,
            "model_version": "14", "entity_id": f"lead-{first + place}", "prediction": place % 100 / 100,
            "status_code": 200, "execution_duration_ms": 12.5, "http_route": "POST /score", "f_size": float(place),
            "f_source": "web" if place % 2 else "mail", "ingest_time": at,
        }
        for place in range(rows)
    ]  # fmt: skip
    columns = pa.schema([*PREDICTIONS.columns, ("f_size", pa.float64()), ("f_source", pa.string())])
    return pa.Table.from_pylist(made, schema=columns)
