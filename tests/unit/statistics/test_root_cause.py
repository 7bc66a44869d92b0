"""The shift of a mean split into mix and within, against hand computations and exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tiltmeter.domain.comparison import FeatureComparison, SideStatistics
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Status
from tiltmeter.domain.score_shift import ScoreShift
from tiltmeter.domain.severity import Severity
from tiltmeter.statistics import tested as rows_of
from tiltmeter.statistics.root_cause import SegmentSums, decompose, ranked, shift_of


def side(rows, means):
    rows = np.array(rows, dtype=np.int64)
    return SegmentSums(rows, rows * np.array(means, dtype=float))


def split(names, reference, current):
    found = decompose("source", names, side(*reference), side(*current))
    return found, {part.segment: part for part in found.segments}


def test_two_segments_by_hand():
    # Means 0.6·0.2 + 0.4·0.5 = 0.32 and 0.3·0.3 + 0.7·0.5 = 0.44.
    # Mix −0.3·0.25 + 0.3·0.5 = 0.075, within 0.45·0.1 + 0.55·0 = 0.045; together 0.12.
    found, parts = split(["web", "fair"], ([600, 400], [0.2, 0.5]), ([300, 700], [0.3, 0.5]))
    assert found.feature == "source"
    assert found.mix == pytest.approx(0.075, abs=1e-15)
    assert found.within == pytest.approx(0.045, abs=1e-15)
    # Halfway between the overall means lies 0.38: web −0.3·(0.25 − 0.38), fair 0.3·(0.5 − 0.38).
    assert parts["web"].mix == pytest.approx(0.039, abs=1e-15)
    assert parts["fair"].mix == pytest.approx(0.036, abs=1e-15)
    assert parts["web"].within == pytest.approx(0.045, abs=1e-15)
    assert parts["fair"].within == pytest.approx(0.0, abs=1e-15)
    assert (parts["web"].reference.rows, parts["web"].current.rows) == (600, 300)
    assert (parts["web"].reference.share, parts["web"].current.share) == (0.6, 0.3)
    assert parts["web"].reference.mean == pytest.approx(0.2)
    assert parts["web"].current.mean == pytest.approx(0.3)


def test_three_segments_by_hand():
    # Shares .5 .3 .2 → .2 .3 .5, means .1 .4 .8 → .2 .4 .6: overall 0.33 → 0.46.
    # Mix −.3·.15 + 0·.4 + .3·.7 = 0.165; within .35·.1 + .3·0 − .35·.2 = −0.035.
    found, _ = split(["a", "b", "c"], ([500, 300, 200], [0.1, 0.4, 0.8]), ([200, 300, 500], [0.2, 0.4, 0.6]))
    assert (found.mix, found.within) == pytest.approx((0.165, -0.035), abs=1e-15)


def test_a_segment_that_came_takes_its_own_mean_on_both_sides():
    # 0.2 → 0.8·0.2 + 0.2·0.7 = 0.3: nothing but the new segment moved it.
    found, parts = split(["web", "partner-x"], ([1000, 0], [0.2, 0.0]), ([800, 200], [0.2, 0.7]))
    assert (found.mix, found.within) == pytest.approx((0.1, 0.0), abs=1e-15)
    assert parts["partner-x"].reference.mean == parts["partner-x"].current.mean == pytest.approx(0.7)
    assert parts["partner-x"].reference.rows == 0
    assert parts["partner-x"].within == 0.0


def test_a_segment_that_went_takes_its_old_mean():
    found, parts = split(["web", "fair"], ([800, 200], [0.2, 0.7]), ([1000, 0], [0.2, 0.0]))
    assert (found.mix, found.within) == pytest.approx((-0.1, 0.0), abs=1e-15)
    assert parts["fair"].current.mean == pytest.approx(0.7)


def test_segments_under_fifty_rows_on_either_side_are_pooled():
    # b and d have 49 rows on one side: pooled they are 100 of 1,000 rows, at 0.451 and then at 0.551.
    found, parts = split(
        ["a", "b", "c", "d"], ([850, 49, 50, 51], [0.1, 0.4, 0.9, 0.5]), ([850, 51, 50, 49], [0.1, 0.6, 0.9, 0.5])
    )
    assert set(parts) == {"a", "c", "(other)"}
    assert parts["(other)"].reference.rows == parts["(other)"].current.rows == 100
    assert parts["(other)"].reference.mean == pytest.approx((49 * 0.4 + 51 * 0.5) / 100)
    assert parts["(other)"].current.mean == pytest.approx((51 * 0.6 + 49 * 0.5) / 100)
    assert found.mix == pytest.approx(0.0, abs=1e-15)
    assert found.within == pytest.approx(0.1 * (51 * 0.6 + 49 * 0.5 - 49 * 0.4 - 51 * 0.5) / 100)


def test_a_rare_segment_that_one_side_lacks_is_pooled_too():
    _, parts = split(["a", "b", "c"], ([900, 0, 100], [0.1, 0.0, 0.3]), ([900, 49, 49], [0.1, 0.9, 0.3]))
    assert set(parts) == {"a", "(other)"}
    assert parts["(other)"].current.rows == 98


def test_one_small_segment_keeps_its_name_and_an_empty_one_is_dropped():
    _, parts = split(["a", "b", "c"], ([900, 10, 0], [0.1, 0.9, 0.0]), ([900, 10, 0], [0.1, 0.9, 0.0]))
    assert set(parts) == {"a", "b"}


def test_one_segment_is_all_within():
    found, _ = split(["all"], ([1000], [0.2]), ([500], [0.5]))
    assert (found.mix, found.within) == pytest.approx((0.0, 0.3), abs=1e-15)


def test_a_side_without_rows_has_no_shift():
    assert decompose("source", ["a"], side([0], [0.0]), side([500], [0.5])) is None
    assert decompose("source", ["a"], side([500], [0.5]), side([0], [0.0])) is None


def test_a_constant_taken_off_every_score_changes_only_what_is_shown():
    rows = np.array([600, 400]), np.array([300, 700])
    plain = decompose("s", ["a", "b"], side(rows[0], [0.2, 0.5]), side(rows[1], [0.3, 0.5]))
    less = decompose("s", ["a", "b"], side(rows[0], [-0.3, 0.0]), side(rows[1], [-0.2, 0.0]), center=0.5)
    assert (less.mix, less.within) == pytest.approx((plain.mix, plain.within), abs=1e-15)
    assert [p.reference.mean for p in less.segments] == pytest.approx([p.reference.mean for p in plain.segments])


def test_features_are_ranked_by_the_size_of_their_mix():
    def part(name, mix):
        return decompose(name, ["a", "b"], side([500, 500], [0, mix]), side([0, 1000], [0, mix]))

    order = ranked([part("small", 0.1), part("b", 0.8), part("down", -0.6), part("a", 0.8)])
    assert [found.feature for found in order] == ["a", "b", "down", "small"]


segments = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 60), st.integers(0, 10**7)),
        st.one_of(st.just(0), st.integers(0, 60), st.integers(0, 10**7)),
        st.floats(0, 1, allow_subnormal=False),
        st.floats(0, 1, allow_subnormal=False),
    ),
    min_size=1,
    max_size=12,
)


def both(drawn):
    names = [f"level {place}" for place in range(len(drawn))]
    before, after = (
        side([d[0] for d in drawn], [d[2] for d in drawn]),
        side([d[1] for d in drawn], [d[3] for d in drawn]),
    )
    assume(before.rows.any() and after.rows.any())
    return names, before, after


def exact(before, after):
    """Mix and within in exact fractions, straight from the definition: pool, impute, add up."""
    pairs, pool = [], [0, Fraction(0), 0, Fraction(0)]
    columns = (before.rows, before.sums, after.rows, after.sums)
    for r, s, c, t in zip(*(column.tolist() for column in columns), strict=True):
        few, many = min(r, c), max(r, c)
        if few >= 50 or (few == 0 and many >= 50):
            pairs.append((r, Fraction(s), c, Fraction(t)))
        else:
            pool = [pool[0] + r, pool[1] + Fraction(s), pool[2] + c, pool[3] + Fraction(t)]
    if pool[0] or pool[2]:
        pairs.append(tuple(pool))
    m, n = sum(p[0] for p in pairs), sum(p[2] for p in pairs)
    mix = within = Fraction(0)
    for r, s, c, t in pairs:
        mean_before = s / r if r else t / c
        mean_after = t / c if c else s / r
        mix += (Fraction(c, n) - Fraction(r, m)) * (mean_after + mean_before) / 2
        within += (Fraction(c, n) + Fraction(r, m)) / 2 * (mean_after - mean_before)
    return float(mix), float(within)


@given(segments)
def test_both_parts_equal_the_definition_in_exact_fractions(drawn):
    names, before, after = both(drawn)
    found = decompose("f", names, before, after)
    assert (found.mix, found.within) == pytest.approx(exact(before, after), abs=1e-12)


@given(segments)
def test_mix_and_within_are_the_whole_shift(drawn):
    names, before, after = both(drawn)
    found = decompose("f", names, before, after)
    shift = after.sums.sum() / after.rows.sum() - before.sums.sum() / before.rows.sum()
    assert found.mix + found.within == pytest.approx(shift, abs=1e-12)
    assert sum(p.mix + p.within for p in found.segments) == pytest.approx(shift, abs=1e-12)


@given(segments)
def test_swapping_the_sides_flips_every_sign(drawn):
    names, before, after = both(drawn)
    there, back = decompose("f", names, before, after), decompose("f", names, after, before)
    assert (there.mix, there.within) == (-back.mix, -back.within)
    assert [(p.segment, p.mix, p.within) for p in there.segments] == [
        (p.segment, -p.mix, -p.within) for p in back.segments
    ]


@given(segments)
def test_equal_sides_have_no_part(drawn):
    names, before, _ = both([(rows, rows, mean, mean) for rows, _, mean, _ in drawn])
    found = decompose("f", names, before, before)
    assert (found.mix, found.within) == (0.0, 0.0)


@given(segments, st.randoms(use_true_random=False))
def test_the_order_of_the_segments_does_not_matter(drawn, shuffle):
    names, before, after = both(drawn)
    order = list(range(len(names)))
    shuffle.shuffle(order)
    mixed = decompose(
        "f", [names[i] for i in order], SegmentSums(before.rows[order], before.sums[order]),
        SegmentSums(after.rows[order], after.sums[order]),
    )  # fmt: skip
    found = decompose("f", names, before, after)
    assert (mixed.mix, mixed.within) == pytest.approx((found.mix, found.within), abs=1e-12)
    assert {p.segment for p in mixed.segments} == {p.segment for p in found.segments}


def score_of(before, after):
    """A score by mean and standard deviation of each side; None is a side that is not there."""
    sides = [None if one is None else SideStatistics(100, 0, 0.0, mean=one[0], std=one[1]) for one in (before, after)]
    return FeatureComparison("score", FeatureKind.NUMERIC, Status.OK, Severity.NONE, *sides)


@pytest.mark.parametrize(
    ("before", "after", "error", "why"),
    [
        # √(0.3²/900 + 0.4²/400) = √(1e-4 + 4e-4) = 0.022361; 2.576 of it is 0.0576.
        ((0.30, 0.3), (0.36, 0.4), 0.0005**0.5, "not_read"),
        ((0.36, 0.3), (0.30, 0.4), 0.0005**0.5, "not_read"),
        ((0.30, 0.3), (0.35, 0.4), 0.0005**0.5, "did_not_move"),
        ((0.30, None), (0.31, 0.4), None, "not_read"),
        ((0.30, 0.3), (0.31, None), None, "not_read"),
        ((0.30, None), (0.30, None), None, "did_not_move"),
    ],
)
def test_a_shift_is_asked_about_where_it_is_more_than_chance(before, after, error, why):
    found = shift_of(score_of(before, after), rows_of.Tested(m=900, n=400))
    shift = after[0] - before[0]
    assert found == ScoreShift(before[0], after[0], shift, pytest.approx(error) if error else None, why=why)


@pytest.mark.parametrize("tested", [rows_of.Tested(m=0, n=400), rows_of.Tested(m=900, n=0)])
def test_without_rows_a_shift_has_no_error(tested):
    assert shift_of(score_of((0.3, 0.3), (0.4, 0.3)), tested).standard_error is None


@pytest.mark.parametrize(
    ("before", "after"), [(None, (0.4, 0.1)), ((0.3, 0.1), None), ((None, None), (0.4, 0.1)), (None, None)]
)
def test_a_side_without_scores_has_no_shift(before, after):
    means = [one[0] if one else None for one in (before, after)]
    found = shift_of(score_of(before, after), rows_of.Tested(m=900, n=400))
    assert found == ScoreShift(*means, None, None, why="no_scores")
