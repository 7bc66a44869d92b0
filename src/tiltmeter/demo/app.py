"""The company's prediction service: a FastAPI app around the model, watched by one line of Tiltmeter."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from pydantic import BaseModel

from tiltmeter.capture.fastapi import Capture
from tiltmeter.demo.build import trained_model
from tiltmeter.demo.world import MODEL_NAME

if TYPE_CHECKING:
    from tiltmeter.demo.scoring import LeadModel


class Lead(BaseModel):
    """What the web site and the CRM send; everything but the id may be missing."""

    lead_id: str
    company_size: float | None = None
    annual_revenue: float | None = None
    website_visits: float | None = None
    minutes_on_site: float | None = None
    emails_opened: float | None = None
    emails_clicked: float | None = None
    days_since_first_touch: float | None = None
    form_fields_filled: float | None = None
    domain_age: float | None = None
    discount_wanted: float | None = None
    distance_km: float | None = None
    lead_source: str | None = None
    industry: str | None = None
    job_title: str | None = None
    device: str | None = None
    plan_interest: str | None = None
    language: str | None = None
    campaign: str | None = None
    has_phone: bool = False
    is_business_email: bool = False
    visited_pricing: bool = False


class Leads(BaseModel):
    """Several leads at once."""

    leads: list[Lead]


class Score(BaseModel):
    """Probability of becoming a customer."""

    score: float
    model_version: str


class Scores(BaseModel):
    """In the order of the leads."""

    scores: list[float]
    model_version: str


def create_app(model: LeadModel, spool: Path) -> FastAPI:
    """The service.

    Args:
        model: what answers.
        spool: where Tiltmeter's capture writes what was asked and answered.
    """
    app = FastAPI(title="Lead scoring")

    @app.post("/score")
    async def score(lead: Lead) -> Score:
        """One lead."""
        return Score(score=model.score_one(lead.model_dump()), model_version=model.version)

    @app.post("/score-many")
    async def score_many(body: Leads) -> Scores:
        """A list of leads."""
        scores = [model.score_one(lead.model_dump()) for lead in body.leads]
        return Scores(scores=scores, model_version=model.version)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """For the load balancer."""
        return {"status": "ok"}

    Capture(app, model=MODEL_NAME, model_version=model.version, spool=spool)
    return app


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What the app's process has to know; it trains its model anew from the seed, so that no pickle is ever loaded.

    Args:
        seed: of the world.
        history_start: the training weeks end here.
        spool: where captured requests go.
        host: address to listen on.
        port: chosen by whoever starts the process.
    """

    seed: int
    history_start: datetime
    spool: Path
    host: str
    port: int

    def save(self, path: Path) -> None:
        """Write as JSON."""
        values = {
            "seed": self.seed,
            "history_start": self.history_start.isoformat(),
            "spool": str(self.spool),
            "host": self.host,
            "port": self.port,
        }
        path.write_text(json.dumps(values, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> AppSettings:
        """Read what `save` wrote."""
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        start = datetime.fromisoformat(values["history_start"])
        return cls(values["seed"], start, Path(values["spool"]), values["host"], values["port"])


def main(path: str) -> None:
    """Train, then serve until the process is told to end."""
    import uvicorn

    settings = AppSettings.load(Path(path))
    model, _ = trained_model(settings.seed, settings.history_start)
    app = create_app(model, settings.spool)
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1])
