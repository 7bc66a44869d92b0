"""What the state of a job run means, in the words of Databricks and of `batch_job`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_GOOD = {"SUCCESS", "SUCCEEDED", "SUCCESS_WITH_FAILURES"}
"""Databricks calls a run whose last tasks succeeded a success, whatever became of tasks before them."""
_FAILED = {
    "FAILED",
    "TIMEDOUT",
    "TIMED_OUT",
    "CANCELED",
    "INTERNAL_ERROR",
    "UPSTREAM_FAILED",
    "MAXIMUM_CONCURRENT_RUNS_REACHED",
}


def is_good(run: Mapping[str, Any]) -> bool:
    """Whether a row of `batch_runs` tells of a run that succeeded."""
    return run["result_state"] in _GOOD


def is_failed(run: Mapping[str, Any]) -> bool:
    """Whether a row of `batch_runs` tells of a run that failed."""
    return run["result_state"] in _FAILED


def is_of_model(run: Mapping[str, Any], model: str) -> bool:
    """Whether a row of `batch_runs` may be about the model: it names it, or no model at all."""
    return run.get("model_name") in (None, "", model)
