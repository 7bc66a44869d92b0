"""Pictures: right shapes, hostile names escaped, well-formed, no scripts."""

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from lead_frames import HOSTILE
from tiltmeter.domain.comparison import Cell
from tiltmeter.domain.severity import Severity
from tiltmeter.drawing.histogram import Histogram
from tiltmeter.drawing.markup import Markup, coordinate, element, safe
from tiltmeter.drawing.pictures import level_bars, overlay_histogram, psi_bar
from tiltmeter.drawing.style import SIZE_WORDS, STEP_CLASSES, step_of
from tiltmeter.drawing.text import text_bar, text_sparkline
from tiltmeter.drawing.timelines import heatmap, sparkline, timeline


def parsed(picture):
    return ET.fromstring(picture)  # noqa: S314 - our own picture


def kinds(picture, name):
    return [one for one in parsed(picture).iter() if one.tag == name]


PICTURES = {
    "histogram": lambda name: overlay_histogram(
        Histogram(0.0, 4.0, np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]), ((0, 0), (0, 0))),
        label=name, write=lambda _: name,
    ),
    "levels": lambda name: level_bars([Cell(name, 3, 5), Cell("other", 1, 1)], label=name, write=str),
    "timeline": lambda name: timeline([1.0, None, 2.0], [name, "b", "c"], label=name, limits={"warning": 1.5}),
    "heatmap": lambda name: heatmap(
        {name: [(0.05, "ok"), (None, "not judged"), (0.7, "critical")]}, [name, "b", "c"], label=name
    ),
    "sparkline": lambda name: sparkline([0.1, None, 0.3], label=name),
    "psi": lambda _: psi_bar(0.3, Severity.WARNING),
    "no psi": lambda _: psi_bar(None, Severity.NONE),
}  # fmt: skip


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_hostile_names_stay_text(draw):
    picture = draw(HOSTILE)
    root = parsed(picture)
    assert {one.tag for one in root.iter()} <= {"svg", "path", "rect", "text", "title", "g", "circle"}
    assert not any(name.startswith("on") for one in root.iter() for name in one.attrib)
    assert not any(character in picture for character in "\x00\x1b\u202e")
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"]


def test_baseline_is_filled_and_now_is_a_line_of_the_same_shares():
    shares = np.array([[0.25, 0.75], [0.75, 0.25]])
    picture = overlay_histogram(Histogram(0.0, 2.0, shares, ((0, 0), (0, 0))), label="x", write=str)
    filled, line = (next(p for p in kinds(picture, "path") if p.get("class") == name) for name in ("b", "n"))
    assert filled.get("d").endswith("Z")
    # The larger share reaches the top (y = 6), a third of it stands at 104 - 98 / 3.
    assert "V71.3H" in filled.get("d")
    assert filled.get("d").index("V71.3") < filled.get("d").index("V6H")
    assert line.get("d").index("V6H") < line.get("d").index("V71.3")


def test_level_bars_draw_shares_and_count_what_is_left_out():
    cells = [Cell(f"level {i}", 10, 10) for i in range(20)]
    picture = level_bars(cells, label="x", write=str, most=12)
    assert len(kinds(picture, "rect")) == 24
    assert "and 8 more" in picture
    assert "5.0 % → 5.0 %" in picture


def test_the_psi_bar_has_the_colour_of_its_severity_not_of_its_size():
    assert 'class="s0"' in psi_bar(0.9, Severity.NONE)
    assert 'class="s3"' in psi_bar(0.9, Severity.CRITICAL)


def test_the_psi_bar_has_a_mark_a_limit_and_none_without_a_rule():
    assert "M9.6 0V10M48 0V10" in psi_bar(0.9, Severity.CRITICAL, limits=[0.1, 0.5, 2.0])
    assert 'class="g"' not in psi_bar(0.9, Severity.NONE)


@pytest.mark.parametrize(
    ("psi", "severity", "watch", "step"),
    [
        (0.1, Severity.NONE, 0.1, "ok"), (0.11, Severity.NONE, 0.1, "watch"), (0.9, Severity.NONE, 0.1, "watch"),
        (0.11, Severity.NONE, None, "ok"), (0.11, Severity.WARNING, None, "warning"), (0.2, Severity.INFO, 0.1, "info"),
        (19.0, Severity.CRITICAL, 0.1, "critical"), (None, Severity.NONE, 0.1, "not judged"),
        (0.1, None, 0.1, "up to 0.1"), (0.11, None, 0.1, "above 0.1"), (0.3, None, None, "above 0.25"),
        (19.0, None, 0.1, "above 0.5"),
    ],
)  # fmt: skip
def test_a_cell_has_the_colour_of_its_severity_and_of_its_size_where_no_rule_judges(psi, severity, watch, step):
    assert step_of(psi, severity, watch=watch) == step
    picture = heatmap({"f": [(psi, step)]}, ["w"], label="x")
    assert f"{step}</title>" in picture
    assert f'class="{STEP_CLASSES[step]}"' in picture


def test_sizes_are_never_drawn_in_the_colours_of_severities():
    loud = {STEP_CLASSES[step] for step in ("watch", "info", "warning", "critical")}
    assert loud.isdisjoint({STEP_CLASSES[word] for word in SIZE_WORDS})


def test_a_heatmap_has_a_cell_a_window_and_empty_ones_where_nothing_was_judged():
    picture = heatmap(
        {"a": [(0.0, "ok"), (None, "not judged")], "b": [(None, "not judged"), (0.6, "critical")]},
        ["w1", "w2"],
        label="x",
    )
    classes = [rect.get("class") for rect in kinds(picture, "rect")]
    assert classes == ["h0", "hx", "hx", "h3"]
    assert picture.count("not judged") == 2


def test_a_timeline_breaks_where_a_value_is_missing_and_draws_thresholds():
    picture = timeline([1.0, 2.0, None, 3.0], list("abcd"), label="x", limits={"warning": 2.5, "critical": 4.0})
    line = next(path for path in kinds(picture, "path") if path.get("class") == "n").get("d")
    assert line.count("M") == 2
    assert len(kinds(picture, "circle")) == 3
    assert "critical 4" in picture


@pytest.mark.parametrize("values", [[], [None], [None, None], [0.0], [5.0]])
def test_lines_of_nothing_or_of_one_value_are_drawn(values):
    parsed(sparkline(values, label="x"))
    parsed(timeline(values, [str(i) for i in range(len(values))], label="x"))


def test_only_markup_is_not_escaped():
    assert element("p", "<b>", Markup("<i/>"), class_="a&b") == '<p class="a&amp;b">&lt;b&gt;<i/></p>'
    assert safe("a\x07b") == "a·b"
    assert element("a", None, hidden=True, title=None) == "<a hidden></a>"


def test_coordinates_are_short():
    assert [coordinate(value) for value in (3.0, 3.14159, 10.04, 100.0)] == ["3", "3.1", "10", "100"]


@pytest.mark.parametrize(
    ("share", "bar"), [(0.0, "    "), (0.5, "██  "), (1.0, "████"), (7.0, "████"), (0.125, "▌   "), (None, "····")]
)
def test_text_bars_fill_from_the_left(share, bar):
    assert text_bar(share, width=4) == bar


def test_text_sparklines_have_a_character_a_value():
    assert text_sparkline([0.0, 0.5, 1.0, None]) == "▁▅█·"
    assert text_sparkline([None, None]) == "··"


def test_names_of_a_heatmap_are_cut_to_their_room():
    name = "a very long name that no label could hold"
    label = next(one for one in kinds(heatmap({name: [(0.1, "ok")]}, ["w"], label="x"), "text") if len(one))
    assert label[0].text == name
    assert label[0].tail == "a very long name that n…"


def test_long_values_of_an_axis_do_not_touch():
    bars = Histogram(0.0, 4.0, np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]), ((0, 0), (0, 0)))
    short, dates = (
        overlay_histogram(bars, label="x", write=lambda _, word=word: word) for word in ("2", "2026-09-01 00:14")
    )
    assert len(kinds(short, "text")) == len(kinds(dates, "text")) + 1
