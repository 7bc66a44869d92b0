"""What the tests of batch runs share: a home's log, a shipper of its spool, and what that counted."""

from collections import Counter

import pytest

from tables import FakeClock
from tiltmeter.ingest.batch_parts import BatchShipper
from tiltmeter.ingest.columns import FeatureTypes
from tiltmeter.store.delta import DeltaLog


@pytest.fixture
def batch_log(tmp_path, request):
    """The tables, at the moment that the module calls now."""
    return DeltaLog(tmp_path / "tables", FakeClock(request.module.NOW))


@pytest.fixture
def counters():
    return Counter()


@pytest.fixture
def batch_shipper(tmp_path, batch_log, counters):
    return BatchShipper(tmp_path / "spool", batch_log, FeatureTypes(), tmp_path / "damaged", counters)
