import json

import pyarrow as pa
import pytest

from tiltmeter.views.dashboard.frame import plain
from tiltmeter.views.dashboard.screens import PAGES


def words(shown):
    return " ".join(str(e.value) for kind in (shown.markdown, shown.caption, shown.info, shown.text) for e in kind)


def charts(shown):
    found = []

    def walk(block):
        for child in getattr(block, "children", {}).values():
            if child.type == "vega_lite_chart":
                tables = [pa.ipc.open_stream(d.data.data).read_all().to_pylist() for d in child.proto.datasets]
                found.append((json.loads(child.proto.spec), tables))
            walk(child)

    walk(shown.main)
    return found


@pytest.mark.slow  # builds a home
def test_the_overview_says_first_how_bad_it_is(page, small):
    shown = page("overview", small)
    assert "■ **critical**" in shown.markdown[1].value
    assert {m.label for m in shown.metric} == {
        "Health", "P95 latency", "Throughput", "Error rate", "Drifting", "Conversion",
    }  # fmt: skip
    assert len(charts(shown)) == 3


@pytest.mark.slow
def test_an_error_burst_reads_as_critical_in_word_icon_and_colour(page, small):
    card = next(m for m in page("overview", small).metric if m.label == "Error rate")
    assert card.value == "50.00%"
    assert card.delta.startswith("■")


@pytest.mark.slow
def test_a_page_keeps_its_choices_in_the_address(page, small):
    shown = page("feature", small, f="source", span="7 d")
    assert shown.query_params["f"] == "source"
    assert shown.query_params["span"] == "7 d"
    assert shown.query_params["model"] == "lead-scoring"


@pytest.mark.slow
def test_an_unknown_choice_in_the_address_falls_back_to_a_known_one(page, small):
    shown = page("feature", small, f="<script>", span="1000 years", model="nobody")
    assert shown.query_params["model"] == "lead-scoring"
    assert shown.query_params["f"] == "source"


@pytest.mark.slow
def test_a_feature_opens_with_the_day_that_moved_most(page, small):
    shown = page("feature", small, f="source")
    psi = next(m for m in shown.metric if m.label == "PSI")
    assert float(psi.value) > 0.5
    _, tables = charts(shown)[0]
    assert {row["cell"] for table in tables for row in table} >= {"partner-x (new)", "web"}


@pytest.mark.slow
def test_thresholds_stand_in_the_drift_chart(page, small):
    found = charts(page("feature", small, f="source"))
    labels = {row.get("label") for _, tables in found for table in tables for row in table}
    assert {"warning 0.25", "critical 0.5"} <= labels


HOSTILE = [
    "<script>alert(1)</script>", "[click](https://evil.example)", "https://evil.example/x", "www.evil.example",
    "a@evil.example", "**bold**", ":red[hot]", ":material/home:", "$x^2$", "`code`", "# head", ":smile:", "a\n\n# b",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_leave_nothing_that_markdown_would_read(name):
    shown = plain(name)
    assert not set(shown) & set("<>[]()*`$\n_/@|")
    assert "www." not in shown
    assert "://" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("name", ["service", "outcomes", "incidents", "incident", "compare"])
def test_every_other_page_runs_through(page, small, name):
    assert page(name, small).subheader


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PAGES if name != "ack"])  # its link is the key
def test_an_address_that_others_reach_shows_nothing_without_a_key(page, small, name):
    shown = page(name, small, address="0.0.0.0")
    assert "nothing protects it" in shown.error[0].value
    assert not shown.metric
    assert not shown.subheader
