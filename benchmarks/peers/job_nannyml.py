"""NannyML: univariate drift (Jensen-Shannon, KS, Wasserstein, chi-square) and summary statistics in 30 chunks."""

from __future__ import annotations

import json
import resource
import sys
import time

import nannyml
import pandas as pd

start = time.process_time()
reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
columns = list(reference.columns)
numeric = [c for c in columns if pd.api.types.is_numeric_dtype(reference[c])]
size = len(current) // 30
calculator = nannyml.UnivariateDriftCalculator(
    column_names=columns, treat_as_categorical=[c for c in columns if c not in numeric],
    continuous_methods=["kolmogorov_smirnov", "jensen_shannon", "wasserstein"],
    categorical_methods=["chi2", "jensen_shannon"],
    chunk_size=size,
)  # fmt: skip
calculator.fit(reference)
calculator.calculate(current).to_df()
for made in (
    nannyml.SummaryStatsAvgCalculator(column_names=numeric, chunk_size=size),
    nannyml.SummaryStatsStdCalculator(column_names=numeric, chunk_size=size),
    nannyml.SummaryStatsMedianCalculator(column_names=numeric, chunk_size=size),
    nannyml.MissingValuesCalculator(column_names=columns, chunk_size=size),
    nannyml.UnseenValuesCalculator(column_names=[c for c in columns if c not in numeric], chunk_size=size),
):
    made.fit(reference)
    made.calculate(current).to_df()
cpu = time.process_time() - start
print(json.dumps({"cpu": cpu, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
