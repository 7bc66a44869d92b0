"""Rows for a person to look at: read on a click only, twenty at most, privacy rules applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from tiltmeter.domain.errors import TiltmeterError
from tiltmeter.views.dashboard.frame import failure
from tiltmeter.views.dashboard.installed import world

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.window import Window
    from tiltmeter.views.dashboard.queries import Scope

MOST_ROWS = 20
FEATURE = "f_"
"""Begins the columns of features in the captured table."""

_FIRST = ("request_time", "model_version", "entity_id", "prediction", "status_code", "execution_duration_ms")
_NEVER_SHOWN = (
    "event_id", "request_date", "model_name", "spool_slot", "spool_seq", "ingest_time", "sampling_fraction",
    "client_request_id", "request", "response",
)  # fmt: skip
"""Columns of our own book-keeping, and whole bodies: they would push what matters out of sight."""


def sample_button(scope: Scope, window: Window, filters: Mapping[str, object], *, label: str, key: str) -> None:
    """A button that shows rows of a window.

    Args:
        scope: model, version and segment of the rows.
        window: when they were scored.
        filters: column -> value that they must have, None for missing; features by their own names.
        label: on the button.
        key: of the button on its page.
    """
    if not st.button(label, key=key):
        return
    try:
        found = world().log.sample(scope.model.name, window, _stored_names(scope, filters), MOST_ROWS)
    except TiltmeterError as error:
        failure(error)
        return
    if not found:
        st.info("No such row is stored in this window.")
        return
    table = pd.DataFrame(found)
    ordered = [name for name in _FIRST if name in table] + [c for c in table.columns if c not in _FIRST]
    shown = table[[name for name in ordered if name not in _NEVER_SHOWN]].map(_cell)
    shown.columns = pd.Index(_own_names(list(shown.columns)))
    st.dataframe(shown, hide_index=True, width="stretch", placeholder="–", alt="Rows as stored")
    st.caption(f"{len(found)} rows, as stored: privacy rules were applied before they were written.")


def _stored_names(scope: Scope, filters: Mapping[str, object]) -> dict[str, object]:
    """Filters under the names of the table that the model's rows lie in."""
    source = scope.model.source
    wanted: dict[str, object] = {}
    if scope.version:
        wanted["model_version" if source is None else source.columns.get("model_version", "model_version")] = (
            scope.version
        )
    given = dict(filters)
    if scope.segment[0]:
        given[scope.segment[0]] = scope.segment[1]
    prefix = FEATURE if source is None else ""
    plain_columns = ("status_code", "error_type", "http_method", "http_route")
    wanted.update({name if name in plain_columns else prefix + name: value for name, value in given.items()})
    return wanted


def _own_names(columns: list[str]) -> list[str]:
    """Features under their own names; one that is called like a column of the log says that it is the feature."""
    named = []
    for column in columns:
        own = column.removeprefix(FEATURE)
        named.append(f"{own} (feature)" if own != column and own in columns else own)
    return named


def _cell(value: Any) -> Any:  # noqa: ANN401 - whatever the table holds
    return value if value is None or isinstance(value, (bool, int, float, str, pd.Timestamp)) else str(value)
