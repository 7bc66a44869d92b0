"""The drift statistics, one file and one line each."""

from __future__ import annotations

from tiltmeter.registry import Registry

STATISTICS = Registry(
    "drift statistic",
    {
        "psi": "tiltmeter.statistics.drift.psi:PSI",
        "kl": "tiltmeter.statistics.drift.kl:KL",
        "js_distance": "tiltmeter.statistics.drift.js:JS",
        "ks": "tiltmeter.statistics.drift.ks:KS",
        "chi2": "tiltmeter.statistics.drift.chi2:CHI2",
        "wasserstein": "tiltmeter.statistics.drift.wasserstein:WASSERSTEIN",
    },
    "tiltmeter.drift_statistics",
)
