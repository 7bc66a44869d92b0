"""What moved the mean score: found where it was planted, silent where nothing moved."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import tiltmeter
from lead_frames import HOSTILE
from tiltmeter.api.root_cause import windows_of
from tiltmeter.api.shift_words import first_parts, shift_lines, shift_row, shift_sentence
from tiltmeter.domain.alert import AlertState
from tiltmeter.domain.score_shift import FeaturePart, ScoreShift, SegmentPart, SegmentSide
from tiltmeter.domain.window import Grain, Window

MEANS = {"web": 0.2, "fair": 0.5, "partner-x": 0.7}


def scored(web, fair, partner=0, *, lift=0.0, seed=1, rename="source"):
    """Leads whose score is their source's mean and noise that adds up to nothing."""
    rng = np.random.default_rng(seed)
    source = ["web"] * web + ["fair"] * fair + ["partner-x"] * partner
    noise = rng.normal(0, 0.02, len(source))
    for name in MEANS:
        mine = [at for at, found in enumerate(source) if found == name]
        noise[mine] -= noise[mine].mean() if mine else 0.0
    return pa.table(
        {
            rename: source,
            "size": rng.lognormal(3, 1, len(source)),
            "note": [f"lead {n} of {seed}" for n in range(len(source))],
            "score": noise + [MEANS[name] + lift for name in source],
        }
    )


BEFORE = scored(1200, 800)


@pytest.fixture(scope="module")
def mixed():
    return tiltmeter.compare(BEFORE, scored(600, 1400, seed=2), score="score")


def test_a_planted_change_of_the_mix_is_found_with_its_size(mixed):
    # 0.6·0.2 + 0.4·0.5 = 0.32 → 0.3·0.2 + 0.7·0.5 = 0.41, and no source scores otherwise than before.
    shift = mixed.score_shift
    assert (shift.reference, shift.current, shift.shift) == pytest.approx((0.32, 0.41, 0.09), abs=1e-12)
    first = shift.features[0]
    assert first.feature == "source"
    assert (first.mix, first.within) == pytest.approx((0.09, 0.0), abs=1e-12)
    assert {part.feature for part in shift.features} == {"source", "size"}


def test_for_every_feature_both_parts_are_the_whole_shift(mixed):
    for part in mixed.score_shift.features:
        assert part.mix + part.within == pytest.approx(mixed.score_shift.shift, abs=1e-12)


def test_scores_that_changed_within_every_source_are_left_unexplained():
    shift = tiltmeter.compare(BEFORE, scored(1200, 800, lift=0.1, seed=3), score="score").score_shift
    source = next(part for part in shift.features if part.feature == "source")
    assert (source.mix, source.within) == pytest.approx((0.0, 0.1), abs=1e-12)
    assert "no feature's mix explains a tenth of it" in shift_sentence(shift)


def test_a_new_source_moves_the_score_by_coming():
    # 2,000 leads at 0.32, then 500 more at 0.7: (2000·0.32 + 500·0.7)/2500 = 0.396.
    shift = tiltmeter.compare(BEFORE, scored(1200, 800, 500, seed=4), score="score").score_shift
    first = shift.features[0]
    assert (first.feature, shift.shift) == ("source", pytest.approx(0.076, abs=1e-12))
    assert (first.mix, first.within) == pytest.approx((0.076, 0.0), abs=1e-12)
    assert first.segments[0].segment == "partner-x"


def test_a_score_that_did_not_move_is_not_explained():
    shift = tiltmeter.compare(BEFORE, scored(1200, 800, seed=5), score="score")
    assert shift.score_shift.features == ()
    assert shift.score_shift.why == "did_not_move"
    assert shift.to_dict()["score_shift"]["why"] == {"features": "did_not_move"}


def test_without_a_score_there_is_no_shift():
    found = tiltmeter.compare(BEFORE, scored(600, 1400), ignore=["score"])
    assert found.score_shift is None
    assert found.to_dict()["score_shift"] is None


def test_a_stored_baseline_has_no_rows_to_read(tmp_path):
    tiltmeter.Baseline.fit(BEFORE, score="score").save(tmp_path / "b.tmb")
    found = tiltmeter.Baseline.load(tmp_path / "b.tmb").compare(scored(600, 1400))
    assert found.score_shift.shift == pytest.approx(0.09, abs=1e-12)
    assert found.to_dict()["score_shift"]["why"] == {"features": "not_read"}


def test_scores_that_are_all_missing_have_no_shift():
    empty = BEFORE.set_column(3, "score", pa.nulls(2000, pa.float64()))
    shift = tiltmeter.compare(BEFORE, empty, score="score").to_dict()["score_shift"]
    assert (shift["reference"], shift["current"]) == (pytest.approx(0.32), None)
    assert shift["why"] == dict.fromkeys(["current", "shift", "standard_error", "features"], "no_scores")


def test_the_document_says_everything_in_plain_numbers(mixed):
    found = json.loads(json.dumps(mixed.to_dict(), allow_nan=False))["score_shift"]
    assert list(found) == ["reference", "current", "shift", "standard_error", "features", "why"]
    assert found["why"] == {}
    first = found["features"][0]
    assert list(first) == ["feature", "mix", "within", "explained", "segments"]
    assert first["explained"] == pytest.approx(1.0)
    web = next(segment for segment in first["segments"] if segment["segment"] == "web")
    assert list(web) == ["segment", "rows", "share", "mean", "mix", "within"]
    assert web["rows"] == {"reference": 1200, "current": 600}
    assert web["share"] == {"reference": 0.6, "current": 0.3}
    assert web["mean"]["current"] == pytest.approx(0.2)
    # Halfway between 0.32 and 0.41 lies 0.365: −0.3·(0.2 − 0.365).
    assert web["mix"] == pytest.approx(0.0495, abs=1e-12)


def test_entities_that_were_scored_often_make_the_error_larger():
    def often(table, first):
        return table.append_column("lead", [[str(first + n // 5) for n in range(table.num_rows)]])

    once = tiltmeter.compare(BEFORE, scored(1170, 830, seed=6), score="score").score_shift
    five = tiltmeter.compare(
        often(BEFORE, 0), often(scored(1170, 830, seed=6), 9000), score="score", entity="lead"
    ).score_shift
    assert five.standard_error == pytest.approx(once.standard_error * 5**0.5)


def test_the_words_name_the_cause_and_its_size(mixed):
    shift = mixed.score_shift
    assert (
        shift_sentence(shift) == "The mean score went 0.3200 → 0.4100 (+0.0900); the mix of source explains 100 % of it"
    )
    assert [part.feature for part in first_parts(shift)] == ["source"]
    assert shift_row(first_parts(shift)[0], shift) == [
        "source", "100 %", "+0.0900", "0.0000", "web: 60.0 % → 30.0 % of the rows, scores 0.2000",
    ]  # fmt: skip


def test_the_words_of_a_fall_of_large_scores():
    sides = SegmentSide(60, 0.6, 5000.0), SegmentSide(30, 0.3, 4000.0)
    part = FeaturePart("source", -1500.0, -20.0, (SegmentPart("web", *sides, -1500.0, -20.0),))
    shift = ScoreShift(12345.6, 10825.6, -1520.0, 3.0, (part,))
    assert (
        shift_sentence(shift) == "The mean score went 12,346 → 10,826 (-1,520); the mix of source explains 99 % of it"
    )
    assert shift_row(part, shift)[1:] == [
        "99 %", "-1,500", "-20", "web: 60.0 % → 30.0 % of the rows, scores 5,000 → 4,000",
    ]  # fmt: skip


def test_every_outcome_has_a_sentence(mixed):
    assert shift_lines(mixed.score_shift) == [
        "The mean score went 0.3200 → 0.4100 (+0.0900); the mix of source explains 100 % of it",
        "source explains 100 %: mix +0.0900, left within 0.0000; web: 60.0 % → 30.0 % of the rows, scores 0.2000",
    ]
    assert shift_lines(ScoreShift(0.3, 0.301, 0.001, 0.01, why="did_not_move")) == [
        "the mean score did not move by more than chance (0.3 → 0.301): its distribution did"
    ]
    assert shift_lines(ScoreShift(None, 0.3, None, None, why="no_scores"))[0].startswith(
        "no row with a score lies in the window before"
    )
    assert shift_lines(ScoreShift(0.3, None, None, None, why="no_scores"))[0].startswith(
        "no row with a score lies in the window now"
    )
    assert "no feature has segments" in shift_lines(ScoreShift(0.3, 0.5, 0.2, 0.01, why="no_features"))[0]


def test_a_hostile_name_is_shown_without_its_controls():
    shift = tiltmeter.compare(
        scored(1200, 800, rename=HOSTILE), scored(600, 1400, rename=HOSTILE, seed=2), score="score"
    ).score_shift
    said = shift_sentence(shift)
    assert said.isprintable()
    assert "explains 100 % of it" in said


DAYS = [
    Window(datetime(2026, 3, day, tzinfo=UTC), datetime(2026, 3, day + 1, tzinfo=UTC), Grain.DAY) for day in range(1, 9)
]


@pytest.mark.parametrize(
    ("state", "newest", "before", "now"),
    [
        (AlertState.FIRING, 4, 3, 4),  # in breach since the day that is judged
        (AlertState.FIRING, 7, 3, 7),  # for three days more: still against the last good day
        (AlertState.RESOLVED, 6, 3, 4),  # the newest number is that of the recovery
    ],
)
def test_a_window_in_breach_is_held_against_the_last_one_before_the_breach(state, newest, before, now):
    alert = SimpleNamespace(since=DAYS[4].end, state=state)
    assert windows_of(alert, DAYS[newest]) == (DAYS[before], DAYS[now])
