"""The model: gradient-boosted trees of scikit-learn, trained on leads whose outcome is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltmeter.demo.columns import Levels
from tiltmeter.demo.features import BOOLEANS, CATEGORIES, NUMERIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.demo.columns import Column
    from tiltmeter.demo.world import Leads

THRESHOLD = 0.2
"""From this score on, sales calls the lead at once."""


@dataclass(frozen=True, slots=True, eq=False)
class LeadModel:
    """A trained model with what it needs to read a lead.

    Args:
        classifier: a fitted `HistGradientBoostingClassifier`.
        codes: per category: level -> code; levels it never saw count as missing.
        version: as it stands in every prediction.
        intercept: added to the log-odds (0 for a model as it was trained).
    """

    classifier: Any
    codes: Mapping[str, Mapping[str, int]]
    version: str
    intercept: float = 0.0

    def score(self, columns: Mapping[str, Column]) -> np.ndarray:
        """Probability of becoming a customer, shape (leads,)."""
        return self._probability(self._matrix(columns))

    def score_one(self, lead: Mapping[str, object]) -> float:
        """Probability of one lead that came as JSON; unknown and missing values are allowed."""
        row = np.full((1, len(NUMERIC) + len(CATEGORIES) + len(BOOLEANS)), np.nan)
        for position, name in enumerate(NUMERIC):
            value = lead.get(name)
            if isinstance(value, (int, float)):
                row[0, position] = value
        for position, name in enumerate(CATEGORIES, start=len(NUMERIC)):
            row[0, position] = self.codes[name].get(str(lead.get(name)), np.nan)
        for position, name in enumerate(BOOLEANS, start=len(NUMERIC) + len(CATEGORIES)):
            row[0, position] = float(bool(lead.get(name)))
        return float(self._probability(row)[0])

    def released_as(self, version: str, intercept: float) -> LeadModel:
        """The same trees under another version and with another intercept."""
        return replace(self, version=version, intercept=intercept)

    def _probability(self, matrix: np.ndarray) -> np.ndarray:
        log_odds = self.classifier.decision_function(matrix) + self.intercept
        probability: np.ndarray = 1.0 / (1.0 + np.exp(-log_odds))
        return probability

    def _matrix(self, columns: Mapping[str, Column]) -> np.ndarray:
        return np.column_stack(
            [_as_numbers(columns[name], self.codes.get(name, {})) for name in (*NUMERIC, *CATEGORIES, *BOOLEANS)]
        )


def train(leads: Leads, version: str) -> LeadModel:
    """Fit the classifier on leads whose outcome is known.

    Args:
        leads: with truth.
        version: name of the result.
    """
    # A second to import: only who trains or scores pays for it.
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    codes = {name: {level: code for code, level in enumerate(levels)} for name, levels in CATEGORIES.items()}
    categorical = list(range(len(NUMERIC), len(NUMERIC) + len(CATEGORIES)))
    classifier = HistGradientBoostingClassifier(
        max_iter=45,
        learning_rate=0.15,
        max_leaf_nodes=15,
        min_samples_leaf=80,
        l2_regularization=1.0,
        categorical_features=categorical,
        early_stopping=False,
        random_state=0,
    )
    untrained = LeadModel(classifier, codes, version)
    # Trees this small are not worth a second thread, which on a busy machine mostly waits for the first.
    with threadpool_limits(limits=1, user_api="openmp"):
        classifier.fit(untrained._matrix(leads.columns), leads.converts)  # noqa: SLF001 - the same class's own encoding
    return untrained


def _as_numbers(column: Column, codes: Mapping[str, int]) -> np.ndarray:
    if not isinstance(column, Levels):
        return column.astype(np.float64)
    table = np.array([codes.get(level, np.nan) for level in (*column.names, "")], dtype=np.float64)
    numbers: np.ndarray = table[column.codes]  # code −1, missing, finds the NaN at the end
    return numbers
