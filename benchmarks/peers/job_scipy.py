"""By hand: pandas and SciPy, exact two-sample KS, the full set of statistics."""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
import pandas as pd
from scipy import stats

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
    else:
        both = pd.concat([old.value_counts(), new.value_counts()], axis=1).fillna(0).to_numpy()
        r, c = both[:, 0], both[:, 1]
        found["chi2"] = stats.chi2_contingency(np.stack([r, c]), correction=False)[:2]
    p, q = (c + 0.5) / (c + 0.5).sum(), (r + 0.5) / (r + 0.5).sum()
    found["psi"], found["kl"] = float(((p - q) * np.log(p / q)).sum()), float((p * np.log(p / q)).sum())
    results[name] = found
cpu = time.process_time() - start
print(json.dumps({"cpu": cpu, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
