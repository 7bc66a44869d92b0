import html
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import hostile_home
from page_reading import charts, first_line, words
from tables import FakeClock, prediction_rows
from tiltmeter import compare
from tiltmeter.config.load import load_settings
from tiltmeter.views.dashboard.access import Right, refusal, visitor_of
from tiltmeter.views.dashboard.comparing import facts
from tiltmeter.views.dashboard.frame import plain
from tiltmeter.views.dashboard.screens import PAGES
from tiltmeter.wiring import build_world, stored_log


@pytest.mark.slow  # builds a home
def test_the_overview_says_first_how_bad_it_is(page, small):
    shown = page("overview", small)
    assert "■ **critical**" in first_line(shown)
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
    said = words(shown)
    for asked in ("nobody", "1000 years", "<script>"):
        assert f"not here: {plain(asked)}" in said
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


QUESTIONS = {
    "overview": "Is the model healthy now?",
    "feature": "How did this one change, since when, how much?",
    "service": "Are users served, and do the jobs run?",
    "outcomes": "Do predictions become customers and revenue?",
    "incidents": "What fired, and who takes care?",
    "compare": "What differs between two windows?",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(QUESTIONS))
def test_every_page_states_the_question_it_answers(page, small, name):
    shown = page(name, small)
    assert QUESTIONS[name] in [caption.value for caption in shown.caption]


@pytest.mark.slow
def test_a_deep_link_keeps_every_filter(page, small):
    given = {"model": "lead-scoring", "span": "7 d", "f": "company_size", "day": "2026-03-06"}
    shown = page("feature", small, **given)
    assert {key: shown.query_params[key] for key in given} == given
    days = {"a": "2026-03-04..2026-03-05", "b": "2026-03-06..2026-03-08", "f": "source"}
    shown = page("compare", small, **days)
    assert {key: shown.query_params[key] for key in days} == days


@pytest.mark.slow
def test_a_comparison_of_all_times_is_cut_to_the_days_that_are_stored(page, small):
    shown = page("compare", small, a="0001-01-01..9999-12-31", b="2026-03-08..9999-12-31")
    assert shown.query_params["a"] == "2026-03-04..2026-03-08"
    assert shown.query_params["b"] == "2026-03-08..2026-03-08"


@pytest.mark.slow
def test_a_comparison_says_first_what_moved(page, small):
    shown = page("compare", small, a="2026-03-04..2026-03-07", b="2026-03-08..2026-03-08")
    first = html.unescape(first_line(shown)).replace("\u2060", "")
    assert "■ **critical**" in first
    assert "1 of 2 features moved; strongest: source, new level partner-x" in first


@pytest.mark.slow
def test_an_incident_says_what_is_wrong_and_what_to_do(page, small):
    world = build_world(load_settings(small, environ={}), with_channels=False)
    found = next(i for i in world.state.incidents(open_only=True) if i.severity.word == "critical")
    world.state.close()
    said = html.unescape(words(page("incident", small, id=found.id))).replace("\u2060", "")
    assert found.title in said
    assert "**How bad:**" in said
    assert "**What to do**" in said
    assert f"tiltmeter alerts ack {found.id}" in [code.value for code in page("incident", small, id=found.id).code]


@pytest.mark.slow
def test_rows_are_read_on_a_click_and_not_before(page, small):
    shown = page("feature", small, f="source", value="partner-x")
    before = len(shown.dataframe)
    shown.button(key="rows").click().run()
    assert not shown.exception
    rows = shown.dataframe[-1].value
    assert len(shown.dataframe) == before + 1
    assert len(rows) == 20
    assert set(rows["source (feature)"]) == {"partner-x"}  # the log has a column of that name too


@pytest.mark.slow
def test_a_model_without_a_baseline_says_how_far_it_has_learnt(page, tmp_path):
    young = young_home(tmp_path / "home", rows=140)
    said = words(page("overview", young))
    assert "Learning a baseline: 140 of 1,000 rows" in said
    assert "No verdict yet" in said
    assert "no window was judged yet" in said
    assert "all is quiet" not in words(page("incidents", young))


def young_home(folder, *, rows):
    """A model without a baseline, a few leads old."""
    folder.mkdir()
    path = folder / "tiltmeter.yaml"
    path.write_text("version: 1\nhome: .\nmodels: {lead-scoring: {}}\nchannels: {}\n", encoding="utf-8")
    configuration = load_settings(path, environ={})
    clock = FakeClock(datetime.now(UTC))
    log = stored_log(configuration, clock, configuration.models)
    midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    log.append("predictions", prediction_rows(rows, at=midnight - timedelta(days=2)))  # within the first full week
    return path


@pytest.mark.slow
def test_a_home_that_cannot_be_read_is_said_in_words(page, tmp_path):
    path = young_home(tmp_path / "home", rows=1)
    (path.parent / "state.db").write_bytes(b"this is no database" * 100)
    shown = page("overview", path)
    assert shown.error[0].value.startswith("**This page could not be read:**")
    assert "tiltmeter doctor" in shown.caption[0].value


def test_few_rows_are_shown_and_not_judged():
    before = pl.DataFrame({"size": [float(n % 40) for n in range(400)]})
    after = pl.DataFrame({"size": [float(n % 80) for n in range(84)]})
    found = compare(before, after)["size"]
    assert facts(found)[0].note == "n = 84, not judged"


@pytest.mark.parametrize(
    ("leads_before", "leads", "note"),
    [
        (400, 12, "n = 12 leads (480 rows), not judged"),
        (400, 480, "n = 480"),
        (90, 480, "baseline n = 90 leads (400 rows), not judged"),
    ],
)
def test_few_leads_behind_many_rows_are_what_is_said(leads_before, leads, note):
    before = pl.DataFrame({"size": [float(n % 40) for n in range(400)], "lead": [n % leads_before for n in range(400)]})
    after = pl.DataFrame({"size": [float(n % 40) for n in range(480)], "lead": [n % leads for n in range(480)]})
    found = compare(before, after, entity="lead").comparison
    assert facts(found.features["size"], {}, found)[0].note == note


@pytest.mark.slow
def test_a_key_lets_in_and_a_wrong_one_does_not(page, tmp_path, monkeypatch):
    path = young_home(tmp_path / "home", rows=1)
    path.write_text(path.read_text() + "server: {keys: {read: 'env:READ'}}\n", encoding="utf-8")
    monkeypatch.setenv("READ", "open sesame")
    shown = page("overview", path, address="0.0.0.0")
    assert not shown.metric
    shown.text_input(key="entered-key").input("open barley").run()
    assert shown.error[0].value == "That key opens nothing here."
    shown.text_input(key="entered-key").input("open sesame").run()
    assert shown.metric


def test_behind_a_proxy_the_refusal_speaks_of_the_proxy(tmp_path):
    path = tmp_path / "tiltmeter.yaml"
    path.write_text("version: 1\nhome: .\nserver: {trusted_header: X-User}\n", encoding="utf-8")
    configuration = load_settings(path, environ={})
    assert visitor_of(configuration, address="0.0.0.0", headers={}, given="").right is Right.NONE
    ada = visitor_of(configuration, address="0.0.0.0", headers={"X-User": "ada"}, given="")
    assert (ada.right, ada.name) == (Right.OPERATE, "ada")
    assert "reverse proxy" in refusal(configuration, "0.0.0.0")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PAGES if name != "ack"])  # its link is the key
def test_an_address_that_others_reach_shows_nothing_without_a_key(page, small, name):
    shown = page(name, small, address="0.0.0.0")
    assert "nothing protects it" in shown.error[0].value
    assert not shown.metric
    assert not shown.subheader


@pytest.mark.slow
def test_nothing_judged_is_not_called_healthy(page, tmp_path):
    card = next(m for m in page("overview", young_home(tmp_path / "home", rows=140)).metric if m.label == "Health")
    assert (card.value, card.delta) == ("–", "○ nothing judged yet")


@pytest.mark.slow
def test_while_an_alert_is_open_a_feature_opens_with_what_it_looks_like_now(page, small):
    assert page("feature", small, f="source").query_params["day"] == "newest 24 hours"
    assert page("feature", small, f="company_size").query_params["day"] != "newest 24 hours"


@pytest.mark.slow
def test_the_outcomes_page_holds_the_newest_leads_against_the_week_before(page, tmp_path):
    shown = page("outcomes", hostile_home.build(tmp_path / "home", [f"name{place}" for place in range(12)]))
    assert "Conversion is steady" in words(shown)
    assert {m.label for m in shown.metric} >= {"Conversion", "Precision", "Recall", "AUC", "Calibration"}
    drawn = charts(shown)
    assert len(drawn) == 12  # the funnel, the tenths, precision and recall at k, eight lines
    steps = {row.get("step"): row for _, tables in drawn[:1] for table in tables for row in table}
    assert {"Leads scored", "Predicted (≥ 0.5)", "… of them customers", "Customers in all"} <= set(steps)
    assert steps["Customers in all"]["before"] > 0
    tenths = [row for _, tables in drawn[1:2] for table in tables for row in table if "tenth" in row]
    assert {row["tenth"] for row in tenths} == set(range(1, 11))
    assert all(row["lower"] <= row["conversion"] <= row["upper"] for row in tenths)
    assert "maturing" in {row.get("word") for _, tables in drawn[2:] for table in tables for row in table}
    segments = shown.dataframe[0].value
    assert len(segments) == hostile_home.SEGMENTS
    assert segments["before"].notna().all()
