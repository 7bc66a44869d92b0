"""A FastAPI service with a model of about a millisecond, bare or captured; for `capture_under_fault.py`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from pydantic import create_model
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.fastapi import Capture
from tiltmeter.capture.writer import SpoolWriter

NUMBERS = {f"number_{n}": n * 1.25 for n in range(16)}
WORDS = {f"word_{n}": f"level-{n}" for n in range(9)} | {"entity_id": "lead-1"}
BODY = json.dumps(NUMBERS | WORDS).encode()
Lead = create_model("Lead", **dict.fromkeys(NUMBERS, (float, ...)), **dict.fromkeys(WORDS, (str, ...)))
Answer = create_model("Answer", score=(float, ...))

ROOMY, FULL, SMALL = Budget(10**12, 0.0), Budget(0, 0.0), Budget(400_000, 0.0)
FAULTS = {
    "healthy spool": (ROOMY, {}),
    "spool over its budget, drop": (FULL, {}),
    "disk full, drop": (ROOMY, {}),
    "spool over its budget, fail_request": (FULL, {"on_full": "fail_request"}),
    "more than is shipped": (SMALL, {}),
}
"""Budget and options of capture."""


def predictor():
    """A pipeline whose prediction of one row takes about a millisecond."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(5000, 16))
    fitted = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=100))
    fitted.fit(rows, rows[:, 0] + rng.normal(size=5000) > 0)
    names = list(NUMBERS)

    def predict(lead):
        return float(fitted.predict_proba(np.array([[getattr(lead, name) for name in names]]))[0, 1])

    return predict


def service(predict):
    """The application, bare."""
    app = FastAPI()

    async def score(lead):
        return {"score": predict(lead)}

    score.__annotations__ = {"lead": Lead}
    app.post("/score", response_model=Answer)(score)
    return app


def captured(predict, fault, spool):
    """The application, captured into a spool that has this fault."""
    app = service(predict)
    budget, options = FAULTS[fault]
    writer = SpoolWriter(Path(spool), budget=budget)
    Capture(app, model="lead-scoring", model_version="14", writer=writer, **options)
    return app
