"""A scoring service that is killed; run by uvicorn. The spool comes from $TILTMETER_SPOOL."""

from fastapi import FastAPI

from tiltmeter.capture.fastapi import Capture

app = FastAPI()


@app.post("/score")
async def score(lead: dict):
    return {"score": 0.5}


Capture(app, model="lead-scoring", model_version="1", min_free=0.0)
