"""A lead-scoring service with capture.

uvicorn app:app --port 8000          # in this folder
curl -s localhost:8000/score -H 'content-type: application/json' \
         -d '{"entity_id": "lead-1", "company_size": 40, "source": "web", "email": "a@example.com"}'
tiltmeter serve --dashboard          # ships what was recorded, learns a baseline, shows it
"""

from __future__ import annotations

import math

from fastapi import FastAPI
from pydantic import BaseModel

import tiltmeter
from tiltmeter.capture.fastapi import Capture

VISITS = {"lead-1": 12, "lead-2": 3}
"""Stands for a feature store."""


class Lead(BaseModel):
    """What the client knows of a lead."""

    entity_id: str
    company_size: float
    source: str = "web"
    email: str = ""


class Score(BaseModel):
    """The answer."""

    score: float


app = FastAPI(title="Lead scoring")


@app.post("/score")
async def score(lead: Lead) -> Score:
    """Score one lead."""
    visits = VISITS.get(lead.entity_id, 0)
    tiltmeter.log(features={"visits_30d": visits})
    evidence = 0.02 * lead.company_size + 0.1 * visits - (0.5 if lead.source == "import" else 0.0) - 1.0
    return Score(score=1.0 / (1.0 + math.exp(-evidence)))


Capture(app, model="lead-scoring", model_version="2026-11", drop=["email"])
