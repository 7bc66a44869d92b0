"""A table that `tiltmeter.yaml` names is replayed with the columns, missing values and weights of its live windows."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_line import tiltmeter

START = datetime(2026, 9, 1, tzinfo=UTC)
CONFIGURATION = """
version: 1
home: .
models:
  others:
    source: {table: scored.parquet, columns: {time: at}}
  leads:
    source:
      table: scored.parquet
      columns: {time: at, prediction: score, label: bought, entity_id: lead, model_version: version}
      features: [pdays, age, plan, gone_since]
    features:
      ignore: [nothing_called_so]
      kinds: {plan: categorical, nothing: text}
      missing_values: {pdays: [999], plan: ["00"], nothing: [1]}
      weights: {age: 3, plan: 0.5, nothing: 2}
    privacy: {drop: [age_of_dog]}
"""


def history():
    rng = np.random.default_rng(4)
    total = 6 * 400
    later = np.arange(total) >= total // 2
    return pa.table(
        {
            "at": pa.array(
                [START + timedelta(days=1) * row / 400 for row in range(total)], pa.timestamp("us", tz="UTC")
            ),
            "pdays": np.where(rng.random(total) < np.where(later, 0.5, 0.1), 999, rng.integers(0, 30, total)),
            "age": rng.normal(np.where(later, 45, 40), 9),
            "plan": rng.choice(["00", "01", "02"], total).tolist(),
            "noise": rng.random(total),
            "age_of_dog": rng.random(total),
            "score": rng.random(total),
            "version": np.where(later, 2, 1),
            "bought": rng.random(total) < 0.1,
            "lead": [f"lead-{row}" for row in range(total)],
        }
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configured")
    (folder / "plain").mkdir()
    rows = history()
    pq.write_table(rows, folder / "scored.parquet")
    pq.write_table(rows.slice(0, 1200).append_column("extra", pa.array(range(1200))), folder / "before.parquet")
    (folder / "tiltmeter.yaml").write_text(CONFIGURATION, encoding="utf-8")
    (folder / "plain" / "weights.json").write_text('{"age": 3, "plan": 0.5}', encoding="utf-8")
    return folder


TYPED = (
    "--features", "pdays,age,plan", "--score", "score", "--label", "bought", "--entity", "lead", "--kind",
    "plan=categorical", "--missing", "pdays=999",
)  # fmt: skip


def replayed(place, *options, plain=False):
    ran = tiltmeter(
        "backtest", place / "scored.parquet", "--time-column", "at", "--every", "day", "--json", *options,
        cwd=place / "plain" if plain else place,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return ran


@pytest.mark.parametrize(
    "side", [("--baseline-until", "2026-09-04"), ("--baseline", "before")], ids=["until", "another data set"]
)
def test_the_document_is_that_of_the_same_options(place, side):
    side = [place / "before.parquet" if part == "before" else part for part in side]
    configured = replayed(place, *side, "--model", "leads", "--missing", "plan=01")
    typed = replayed(
        place, *side, *TYPED, "--missing", "plan=01", "--weights", "weights.json", "--model", "leads", plain=True
    )
    assert configured.document == typed.document
    assert set(configured.document["windows"][0]["features"]) == {"pdays", "age", "plan"}
    unweighted = replayed(place, *side, *TYPED, "--missing", "plan=01", "--model", "leads", plain=True)
    assert unweighted.document != typed.document
    unsaid = replayed(
        place, *side, *TYPED[:-2], "--missing", "plan=01", "--weights", "weights.json", "--model", "leads", plain=True
    )
    assert unsaid.document != typed.document
    said = "score score, label bought, entity lead, 3 features, missing values of pdays, weights of age, plan"
    assert f"columns of leads from the configuration: {said}" in configured.err


def test_a_saved_baseline_is_weighted_as_configured(place):
    saved = place / "saved.tmb"
    frozen = tiltmeter("baseline", "create", place / "before.parquet", "--out", saved, *TYPED, cwd=place / "plain")
    assert frozen.code == 0, frozen.err
    configured = replayed(place, "--baseline", saved, "--model", "leads")
    typed = replayed(place, "--baseline", saved, "--weights", "weights.json", "--model", "leads", plain=True)
    assert configured.document == typed.document
    assert replayed(place, "--baseline", saved, "--model", "leads", plain=True).document != typed.document


def test_options_go_before_the_configuration(place):
    side = ("--baseline-until", "2026-09-04", "--model", "leads")
    found = replayed(place, *side, "--features", "age,noise", "--weights", place / "plain" / "weights.json").document
    assert set(found["windows"][0]["features"]) == {"age", "noise"}
