"""Predictions since the start of the process, by what became of them, and their scores: counters for Prometheus."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.ingest.live import MOST_SERIES, OTHER, labels_text

if TYPE_CHECKING:
    import pyarrow as pa

SCORE_EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Upper limits of the exported buckets of the score, right-closed; one more bucket holds what is larger."""

OUTCOMES = ("scored", "unscored", "refused", "failed")
"""What becomes of a prediction: a score; an answer without one; 4xx; 5xx or no answer at all."""

_REFUSED_FROM, _FAILED_FROM, _NO_STATUS = 400, 500, 200
_TOTAL = "tiltmeter_predictions_total"
_SCORE = "tiltmeter_prediction_score"

_Model = tuple[str, str]
"""Name and version."""


class PredictionCounts:
    """Rows of predictions added up by model and version. Safe to read while others count."""

    def __init__(self) -> None:
        self._outcomes: Counter[tuple[_Model, str]] = Counter()
        self._scores: dict[_Model, np.ndarray] = {}
        self._sums: dict[_Model, float] = {}
        self._lock = Lock()

    def count(self, rows: pa.Table) -> None:
        """Every row once.

        Args:
            rows: of the `predictions` table; a row of a batch job has no status and was answered.
        """
        if not rows.num_rows:
            return
        names, places = _models(rows)
        status = rows["status_code"].fill_null(_NO_STATUS).to_numpy()
        score = rows["prediction"].to_numpy().astype(np.float64)
        known = np.isfinite(score)
        kinds = np.where(known, 0, 1)
        kinds[status >= _REFUSED_FROM] = 2
        kinds[status >= _FAILED_FROM] = 3
        counted = np.bincount(places * len(OUTCOMES) + kinds, minlength=len(names) * len(OUTCOMES))
        scored = kinds == 0
        cells = len(SCORE_EDGES) + 1
        buckets = np.searchsorted(SCORE_EDGES, score[scored], side="left")
        filled = np.bincount(places[scored] * cells + buckets, minlength=len(names) * cells).reshape(-1, cells)
        sums = np.bincount(places[scored], weights=score[scored], minlength=len(names))
        with self._lock:
            for place, model in enumerate(names):
                self._add(model, counted.reshape(-1, len(OUTCOMES))[place], filled[place], float(sums[place]))

    def _add(self, model: _Model, outcomes: np.ndarray, scores: np.ndarray, total: float) -> None:
        key = model if model in self._scores or len(self._scores) < MOST_SERIES else (OTHER, OTHER)
        for outcome, rows in zip(OUTCOMES, outcomes.tolist(), strict=True):
            self._outcomes[key, outcome] += rows
        self._scores[key] = self._scores.get(key, 0) + scores
        self._sums[key] = self._sums.get(key, 0.0) + total

    def prometheus(self) -> str:
        """The counter by outcome and the histogram of scores in Prometheus' text format; empty before the first row."""
        with self._lock:
            outcomes, sums = dict(self._outcomes), dict(self._sums)
            scores = {model: np.cumsum(found).tolist() for model, found in self._scores.items()}
        if not scores:
            return ""
        meaning = "Predictions by outcome: scored, unscored (answered without a score), refused (4xx), failed (5xx)."
        lines = [f"# HELP {_TOTAL} {meaning}", f"# TYPE {_TOTAL} counter"]
        for ((model, version), outcome), rows in outcomes.items():
            lines.append(f"{_TOTAL}{labels_text(model=model, model_version=version, outcome=outcome)} {rows}")
        lines += [f"# HELP {_SCORE} Scores of the predictions that have one.", f"# TYPE {_SCORE} histogram"]
        for (model, version), below in scores.items():
            labels = {"model": model, "model_version": version}
            for edge, rows in zip((*SCORE_EDGES, "+Inf"), below, strict=True):
                lines.append(f"{_SCORE}_bucket{labels_text(**labels, le=str(edge))} {rows}")
            lines.append(f"{_SCORE}_sum{labels_text(**labels)} {sums[model, version]!r}")
            lines.append(f"{_SCORE}_count{labels_text(**labels)} {below[-1]}")
        return "\n".join(lines) + "\n"


def _models(rows: pa.Table) -> tuple[list[_Model], np.ndarray]:
    """Names and versions that occur, and which of them each row has."""
    coded = [
        rows[name].combine_chunks().dictionary_encode(null_encoding="encode")
        for name in ("model_name", "model_version")
    ]
    models, versions = ([text or "" for text in column.dictionary.to_pylist()] for column in coded)
    pairs = coded[0].indices.to_numpy().astype(np.int64) * len(versions) + coded[1].indices.to_numpy()
    found, places = np.unique(pairs, return_inverse=True)
    return [(models[pair // len(versions)], versions[pair % len(versions)]) for pair in found.tolist()], places
