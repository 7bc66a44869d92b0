"""Columns of every Arrow type, in every part a column can play: compared with themselves they are quiet."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from hostile_columns import ROWS, hostile_columns
from tiltmeter import compare
from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.feature import FeatureKind


def beside_itself(values, **options):
    # Two parts: values are looked at batch by batch, and put together where the cells are made.
    both = pa.chunked_array([values.slice(0, 250), values.slice(250)])
    table = pa.table([both, pa.array(range(ROWS))], names=["x", "row"])
    found = compare(table, table, **options)
    json.dumps(found.to_dict(), allow_nan=False)
    return found


@pytest.mark.parametrize("name", list(hostile_columns()))
def test_a_column_of_any_type_is_quiet_beside_itself(name):
    values = hostile_columns()[name]
    assert beside_itself(values)["x"].severity.word == "none"
    assert beside_itself(values, label="x")["row"].severity.word == "none"
    assert beside_itself(values, entity="x")["row"].severity.word == "none"
    for kind in (FeatureKind.CATEGORICAL, FeatureKind.BOOLEAN, FeatureKind.TEXT):
        found = beside_itself(values, kinds={"x": kind})["x"]
        assert (found.kind, found.severity.word) == (kind, "none")
    for kind in (FeatureKind.NUMERIC, FeatureKind.DATETIME):
        try:
            assert beside_itself(values, kinds={"x": kind})["x"].severity.word == "none"
        except UsageError as error:  # what is no number is said to be none
            said = str(error)
        else:
            continue
        assert f"cannot be {kind.value}" in said


def test_values_without_python_objects_are_still_told_apart():
    for name in ("days beyond year 9999", "a long while", "nanoseconds"):
        for where in (", in lists", ", in lists of lists", ", in structs", ", twice in structs"):
            assert beside_itself(hostile_columns()[name + where])["x"].reference.distinct == 3, name + where
