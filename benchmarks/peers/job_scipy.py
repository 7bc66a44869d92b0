"""By hand: pandas and SciPy, the full set of statistics; KS and Wasserstein exact, from the rows.

The set is what `compare` answers: PSI, KL, JS, KS, chi-square, Wasserstein, adjusted p-values, mean, deviation,
extremes, seven quantiles, distinct, missing, zero and infinite shares, the twenty most frequent levels, outliers by IQR
and z. `--few` leaves out what a first script would: JS, Wasserstein, quantiles, frequent levels, adjustment.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
import pandas as pd
from scipy import stats

FEW = "--few" in sys.argv
QUANTILES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]

start = time.process_time()
reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
results = {}
for name in reference.columns:
    old, new = reference[name], current[name]
    found = {"missing": new.isna().mean(), "distinct": new.nunique()}
    if pd.api.types.is_numeric_dtype(old):
        a, b = old.dropna().to_numpy(), new.dropna().to_numpy()
        edges = np.unique(np.quantile(a, np.linspace(0.1, 0.9, 9)))
        r = np.bincount(np.searchsorted(edges, a), minlength=edges.size + 1)
        c = np.bincount(np.searchsorted(edges, b), minlength=edges.size + 1)
        found |= {"mean": b.mean(), "std": b.std(ddof=1), "min": b.min(), "max": b.max()}
        found["ks"], found["ks_p"] = stats.ks_2samp(a, b, method="asymp")
        q1, q3 = np.quantile(a, [0.25, 0.75])
        found["iqr"] = ((b < q1 - 1.5 * (q3 - q1)) | (b > q3 + 1.5 * (q3 - q1))).mean()
        found["z"] = (np.abs(b - a.mean()) > 3 * a.std()).mean()
        if not FEW:
            found |= {"zero": (b == 0).mean(), "infinite": np.isinf(b).mean()}
            found["quantiles"], found["wasserstein"] = np.quantile(b, QUANTILES), stats.wasserstein_distance(a, b)
    else:
        counted = new.value_counts()
        both = pd.concat([old.value_counts(), counted], axis=1).fillna(0).to_numpy()
        r, c = both[:, 0], both[:, 1]
        found["chi2"] = stats.chi2_contingency(np.stack([r, c]), correction=False)[:2]
        found["frequent"] = counted.head(20).to_dict()
    p, q = (c + 0.5) / (c + 0.5).sum(), (r + 0.5) / (r + 0.5).sum()
    found["psi"], found["kl"] = float(((p - q) * np.log(p / q)).sum()), float((p * np.log(p / q)).sum())
    if not FEW:
        m = (p + q) / 2
        found["js"] = float((p * np.log(p / m) + q * np.log(q / m)).sum() / 2)
    results[name] = found
if not FEW:
    stats.false_discovery_control([f["ks_p"] if "ks_p" in f else f["chi2"][1] for f in results.values()])
cpu = time.process_time() - start
print(json.dumps({"cpu": cpu, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
