"""Pictures over time say what they show at every width, and write no name over another."""

import itertools
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tiltmeter.drawing.histogram import Histogram
from tiltmeter.drawing.pictures import overlay_histogram
from tiltmeter.drawing.timelines import Bar, _hatching, heatmap, timeline, week_bars

LETTER = 6.0
_BELOW = re.compile(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">(\d\d:\d\d)<')


@given(st.integers(1, 200), st.integers(200, 1100), st.booleans())
def test_names_below_a_picture_never_touch(windows, width, is_heatmap):
    names = [f"{place % 24:02d}:00" for place in range(windows)]
    values = [0.1] * windows
    picture = (
        heatmap({"a": [(0.1, "ok")] * windows}, names, label="x", width=width)
        if is_heatmap
        else timeline(values, names, label="x", width=width)
    )
    found = [(float(x), anchor, word) for x, _, anchor, word in _BELOW.findall(picture)]
    assert found
    shift = {"start": 0.0, "middle": 0.5, "end": 1.0}
    stretches = sorted(
        (x - shift[anchor] * LETTER * len(word), x + (1 - shift[anchor]) * LETTER * len(word))
        for x, anchor, word in found
    )
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(stretches))


def test_a_heatmap_that_nobody_points_at_keeps_its_colours_and_says_no_numbers():
    rows = {"a": [(0.3, "warning"), (None, "not judged")], "b": [(0.0, "ok"), (0.7, "critical")]}
    spoken, quiet = (heatmap(rows, ["x", "y"], label="z", explains=says) for says in (True, False))
    assert "a, x: PSI 0.3, warning" in spoken
    assert "PSI 0.3" not in quiet
    assert re.findall(r'class="(h\w)"', spoken) == re.findall(r'class="(h\w)"', quiet)


def test_a_logarithmic_picture_says_so_under_the_value_in_its_middle():
    shares = np.full((2, 4), 0.25)
    bars = Histogram(1.0, 10_000.0, shares, ((0, 0), (0, 0)), is_logarithmic=True)
    assert ">100 · log scale<" in overlay_histogram(bars, label="x", write="{:,.0f}".format)


def test_weeks_that_are_not_known_yet_are_hatched_and_all_say_what_they_are():
    bars = [
        Bar("26 Oct", 0.2, 0.1, 0.4, "20 % of n = 50", 50), Bar("02 Nov", None, words="no customers"),
        Bar("09 Nov", None, words="not mature yet", is_open=True),
    ]  # fmt: skip
    drawn = week_bars(bars, label="Precision at k")
    assert drawn.count('class="hatch"') == 1
    assert drawn.count('class="f"') == 1
    assert drawn.count('class="i"') == 1, "the interval of the one that is known"
    for words in ("26 Oct: 20 % of n = 50", "09 Nov: not mature yet", "n = 50", "maturing", ">20 %<", "44 %"):
        assert words in drawn, words


def test_no_stroke_of_a_hatching_leaves_its_box():
    for width, height in ((10.0, 100.0), (72.0, 20.0), (5.0, 5.0)):
        path = _hatching(3.0, 4.0, width, height)
        ends = [tuple(map(float, pair)) for pair in re.findall(r"[ML]([0-9.]+) ([0-9.]+)", path)]
        assert len(ends) > 1
        assert all(3.0 <= x <= 3.05 + width and 4.0 <= y <= 4.05 + height for x, y in ends)
