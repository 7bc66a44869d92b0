"""A reason for every number that is None."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiltmeter.domain.feature import FeatureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

_CELLS = (
    "psi", "psi_p_value", "psi_q_value", "psi_lower", "psi_noise_floor", "psi_bins", "kl", "js_distance",
    "test_q_value", "minimum_detectable",
)  # fmt: skip
_NUMERIC = ("ks", "ks_upper", "ks_p_value", "outliers_iqr", "outliers_z", "out_of_range", "out_of_range_p_value")
_LEVELS = (
    "chi2", "chi2_p_value", "chi2_df", "cramers_v", "new_levels", "lost_levels", "new_level_excess",
    "new_level_p_value",
)  # fmt: skip
_ALL = ("missing_change", "missing_p_value")
_DEFAULT = "no_rows"


def _by_kind(kind: FeatureKind) -> dict[str, str]:
    numeric = _DEFAULT if kind.is_binned else "numeric_only"
    levels = _DEFAULT if kind.has_levels else "categorical_only"
    cells = "free_text" if kind is FeatureKind.TEXT else "not_tested"
    return {
        **dict.fromkeys(_CELLS, cells),
        **dict.fromkeys(_NUMERIC, numeric),
        **dict.fromkeys(_LEVELS, levels),
        **dict.fromkeys(_ALL, _DEFAULT),
    }


_DEFAULTS = {kind: _by_kind(kind) for kind in FeatureKind}


def reasons(kind: FeatureKind, numbers: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    """Why each number is None: the reason that was found where it was computed, else what the kind explains.

    Args:
        kind: of the feature.
        numbers: what was measured, by field.
        known: reasons found on the way, by field.
    """
    why = dict(known)
    for name, reason in _DEFAULTS[kind].items():
        if numbers.get(name) is None and name not in why:
            why[name] = reason
    return why
