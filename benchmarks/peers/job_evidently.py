"""Evidently: PSI, KL, KS with chi-square, and the summary; one method a column and run, so four reports."""

from __future__ import annotations

import json
import resource
import sys
import time

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset, DataSummaryPreset

start = time.process_time()
frames = [pd.read_parquet(path) for path in sys.argv[1:3]]
numeric = [c for c in frames[0].columns if pd.api.types.is_numeric_dtype(frames[0][c])]
definition = DataDefinition(numerical_columns=numeric, categorical_columns=[c for c in frames[0] if c not in numeric])
reference, current = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
for preset in (
    DataDriftPreset(method="psi"),
    DataDriftPreset(method="kl_div"),
    DataDriftPreset(num_method="ks", cat_method="chisquare"),
    DataSummaryPreset(),
):
    Report([preset]).run(current, reference).dict()
cpu = time.process_time() - start
print(json.dumps({"cpu": cpu, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
