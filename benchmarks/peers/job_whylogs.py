"""whylogs: two profiles and the drift scores between them."""

from __future__ import annotations

import json
import resource
import sys
import time

import pandas as pd
import whylogs
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

start = time.process_time()
reference, current = (whylogs.log(pd.read_parquet(path)).view() for path in sys.argv[1:3])
calculate_drift_scores(target_view=current, reference_view=reference, with_thresholds=True)
current.to_pandas()
cpu = time.process_time() - start
print(json.dumps({"cpu": cpu, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
