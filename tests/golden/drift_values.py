"""Values of the drift statistics that were worked out elsewhere: by hand, or by SciPy at test time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import scipy.spatial.distance
import scipy.stats

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.statistic import Cells


@dataclass(frozen=True)
class Golden:
    """What a statistic must give for these counts, and who says so."""

    source: str
    cells: Cells
    value: float
    parts: dict[str, float | None] = field(default_factory=dict)


def cells_of(reference, current, *, kind=FeatureKind.NUMERIC, n=None, m=None, edges=None, ends=None, alone=None):
    """Counts as a statistic sees them; the fine bins are the cells themselves unless edges say otherwise."""
    reference, current = np.array(reference, dtype=np.int64), np.array(current, dtype=np.int64)
    edges = np.arange(1.0, reference.size) if edges is None else np.array(edges, dtype=float)
    low, high = ends or (0.0, float(reference.size))
    return Cells(
        reference=reference,
        current=current,
        reference_below=reference.cumsum(),
        current_below=current.cumsum(),
        fine_edges=edges,
        single_valued=np.zeros(reference.size, dtype=bool) if alone is None else np.array(alone),
        n=int(current.sum()) if n is None else n,
        m=int(reference.sum()) if m is None else m,
        kind=kind,
        std_reference=2.0,
        minimum=low,
        maximum=high,
    )


_TWO = cells_of([50, 50], [20, 80])
_HALVED = cells_of([50, 50], [0, 100])
_CATEGORIES = cells_of([5, 15, 30], [20, 20, 10], kind=FeatureKind.CATEGORICAL)
_UNEVEN = cells_of([400, 300, 200, 100], [90, 80, 70, 60])
_R, _C = np.array([0.4, 0.3, 0.2, 0.1]), np.array([90, 80, 70, 60]) / 300

GOLDEN: dict[str, list[Golden]] = {
    "psi": [
        Golden(
            "by hand: (0.2 − 0.5) ln 0.4 + (0.8 − 0.5) ln 1.6 = 0.3 ln 4; floor 1·(1/100 + 1/100)",
            _TWO,
            0.3 * math.log(4.0),
            {"psi_noise_floor": 0.02, "psi_bins": 2},
        ),
        Golden(
            "by hand, half a row in each cell: c = (½, 100½)/101, r = ½, PSI = (50/101)(ln 201/101 + ln 101)",
            _HALVED,
            50.0 / 101.0 * math.log(201.0),
        ),
        Golden(
            "SciPy: entropy both ways",
            _UNEVEN,
            float(scipy.stats.entropy(_C, _R) + scipy.stats.entropy(_R, _C)),
            {"psi_noise_floor": 3 * (1 / 300 + 1 / 1000), "psi_bins": 4},
        ),
        Golden("by hand: one cell has nothing to move to", cells_of([7], [9]), 0.0, {"psi_p_value": None}),
    ],
    "kl": [
        Golden("by hand: 0.2 ln 0.4 + 0.8 ln 1.6", _TWO, 0.2 * math.log(0.4) + 0.8 * math.log(1.6)),
        Golden("SciPy: entropy(current, reference)", _UNEVEN, float(scipy.stats.entropy(_C, _R))),
    ],
    "js_distance": [
        Golden("SciPy: jensenshannon", _UNEVEN, float(scipy.spatial.distance.jensenshannon(_C, _R, base=2))),
        Golden(
            "SciPy: jensenshannon of the halved counts",
            _HALVED,
            float(scipy.spatial.distance.jensenshannon([0.5, 100.5], [50.5, 50.5], base=2)),
        ),
    ],
    "ks": [
        Golden(
            "by hand: |20/100 − 50/100|; bounds 0.5 + … : F_cur ≥ 0 and F_ref ≤ ½ inside the first bin",
            _TWO,
            0.3,
            {"ks_upper": 0.8, "ks_p_value": float(scipy.stats.kstwobign.sf(0.3 * math.sqrt(50.0)))},
        ),
        Golden(
            "by hand, bins of one value each: the bound is the value",
            cells_of([0, 50, 50, 0], [0, 20, 80, 0], alone=[False, True, True, False]),
            0.3,
            {"ks_upper": 0.3},
        ),
    ],
    "chi2": [
        Golden(
            "SciPy: chi2_contingency([[5, 15, 30], [20, 20, 10]], correction=False)",
            _CATEGORIES,
            float(scipy.stats.chi2_contingency([[5, 15, 30], [20, 20, 10]], correction=False).statistic),
            {
                "chi2_p_value": float(
                    scipy.stats.chi2_contingency([[5, 15, 30], [20, 20, 10]], correction=False).pvalue
                ),
                "chi2_df": 2,
                "cramers_v": float(scipy.stats.contingency.association([[5, 15, 30], [20, 20, 10]], method="cramer")),
            },
        ),
        Golden(
            "by hand: E = (25, 50, 25)/2·… = 12.5, 17.5, 20 a side; 2·(7.5²/12.5 + 2.5²/17.5 + 10²/20)",
            _CATEGORIES,
            2.0 * (7.5**2 / 12.5 + 2.5**2 / 17.5 + 10.0**2 / 20.0),
        ),
    ],
    "wasserstein": [
        Golden(
            "by hand: all rows evenly in (0, 1] against all in (1, 2]: everything travels 1; 1/2 of a deviation",
            cells_of([10, 0], [0, 10], ends=(0.0, 2.0), edges=[1.0]),
            1.0,
            {"wasserstein_in_std": 0.5},
        ),
        Golden(
            "by hand: gaps 0, ½, −½, 0 at 0, 1, 2, 3: triangles ¼, ¼ (two of base ½, height ½ …), ¼",
            cells_of([0, 2, 0], [1, 0, 1], ends=(0.0, 3.0), edges=[1.0, 2.0]),
            0.25 + 2 * (0.5 * 0.5 * 0.5) + 0.25,
        ),
    ],
}
"""By name of the statistic."""
