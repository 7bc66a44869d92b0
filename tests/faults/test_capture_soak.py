"""A day of records in minutes: memory and open files stay where they were."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from soaking import DAY_HOURS, soak

SPAWN = multiprocessing.get_context("spawn")


def steady(tmp_path, *, rounds, per_round):
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:  # a process that dies is an error, not a wait
        memory, files = pool.submit(soak, tmp_path, rounds, per_round).result()
    assert len(set(files[rounds // 2 :])) == 1, files  # the first compaction starts threads
    return memory


@pytest.mark.slow
def test_open_files_stay_constant(tmp_path):
    steady(tmp_path, rounds=8, per_round=1_000)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_ten_million_records_take_no_more_memory_than_one_million(tmp_path):
    memory = steady(tmp_path, rounds=48, per_round=210_000)
    early, late = sorted(memory[12:18])[3], sorted(memory[-6:])[3]
    per_hour = (late - early) / (DAY_HOURS * 33 / 48)
    print(f"{48 * 210_000} records; {early:.0f} MiB, at the end {late:.0f} MiB, {per_hour:+.2f} MiB/h")
    assert per_hour < 1.0
