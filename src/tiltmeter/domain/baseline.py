"""What a window is compared with: frozen bins and the profile that the reference rows left in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tiltmeter.domain.profile import Bins, Profile


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The reference side of a comparison.

    Several references may share the same bins: rolling, seasonal, previous and training baselines differ only in
    which stored profiles were added up.

    Args:
        name: as in the configuration (`training`, `last-month`).
        baseline_id: hash of the bins and of what was added up.
        bins: the frozen cells.
        profile: the reference rows in these cells.
    """

    name: str
    baseline_id: str
    bins: Bins
    profile: Profile


@dataclass(frozen=True, slots=True)
class BaselineRecord:
    """The baseline that a model is judged by, as the state database keeps it.

    Args:
        model: model name.
        name: as in the configuration.
        baseline_id: hash of the bins and of where the reference rows come from.
        bins_id: hash of the bins; their file lies under `baselines/`.
        created_at: when it was frozen.
        source: where its rows came from, in words for people.
        version: of the registered model that it was trained with; empty for all versions.
    """

    model: str
    name: str
    baseline_id: str
    bins_id: str
    created_at: datetime
    source: str = ""
    version: str = ""
