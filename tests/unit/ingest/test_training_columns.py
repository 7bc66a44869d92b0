"""A training set gives the features that the windows of its table have, and no more."""

import pyarrow as pa

from tables import Frame
from tiltmeter.domain.model import Model, TableSource
from tiltmeter.ingest.prediction_rows import ENTITY, SCORE, foreign, training

ROWS = Frame(pa.table({name: [1.0, 2.0] for name in ("at", "p", "lead", "age", "plan", "extra")}))


def test_features_that_the_list_leaves_out_are_none_of_the_baseline_either():
    columns = {"time": "at", "prediction": "p", "entity_id": "lead"}
    model = Model("leads", source=TableSource("scored", columns, features=("age", "plan", "not_there")))
    assert set(training(ROWS, model).schema.names) == {"age", "plan", SCORE, ENTITY}
    assert set(foreign(ROWS, model).schema.names) - {"__time"} == {"age", "plan", SCORE, ENTITY}
    rest = Model("leads", source=TableSource("scored", columns))
    assert {"age", "plan", "extra"} <= set(training(ROWS, rest).schema.names)
