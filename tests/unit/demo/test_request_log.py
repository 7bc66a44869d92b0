from datetime import UTC, datetime

import pytest

from tiltmeter.demo.build import build_demo_world, period_until
from tiltmeter.demo.log_rows import prediction_rows
from tiltmeter.demo.request_log import traffic_rows
from tiltmeter.store.traffic import derive, states_of


@pytest.mark.slow
def test_the_access_log_counts_requests_as_the_shipper_does():
    world = build_demo_world(5, period_until(datetime(2026, 11, 23, 3, 20, tzinfo=UTC), 8))
    ours = states_of(traffic_rows(world.history.scored, "history").to_batches())
    shippers = derive(prediction_rows(world.history).to_batches(), "history").states()
    assert ours == shippers
    assert sum(state.errors for state in ours) > 0
