"""Ours: everything of `compare`, with the baseline built in the run and with a stored one."""

from __future__ import annotations

import json
import resource
import sys
import time

from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.statistics.comparison import compare

engine = LocalEngine()
baseline, window = sys.argv[1], sys.argv[2]
engine.profile(open_rows(baseline), engine.fit(open_rows(baseline), ColumnRoles()))  # the kernel is compiled once, ever

cold, warm = [], []
for _ in range(3):
    start = time.process_time()
    bins = engine.fit(open_rows(baseline), ColumnRoles())
    reference = Reference("baseline", "b", bins, engine.profile(open_rows(baseline), bins))
    built = time.process_time()
    compare(reference, engine.profile(open_rows(window), bins))
    end = time.process_time()
    cold.append(end - start)
    warm.append(end - built)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"cold": min(cold), "warm": min(warm), "peak_mb": peak}))
