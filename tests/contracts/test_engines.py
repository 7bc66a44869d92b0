"""Every registered engine that runs here keeps the contract."""

from __future__ import annotations

import pytest

from tiltmeter.engines import ENGINES
from tiltmeter.engines.local.tables import TableRows
from tiltmeter.testing.engine_contract import EngineContract


class TestLocalEngine(EngineContract):
    @pytest.fixture
    def engine(self):
        return ENGINES.load("local")()

    @pytest.fixture
    def as_rows(self):
        return TableRows
