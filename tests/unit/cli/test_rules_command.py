"""`tiltmeter rules backtest` over the stored states of an installation."""

import json

import pytest

from command_line import tiltmeter
from small_home import build

STRICT = """
rules:
  - {id: any_move, metric: drift.psi, by: [feature], every: day, levels: {warning: {above: 0.001}}}
routes:
  - {severity: warning, to: [dashboard, slack]}
channels: {slack: {type: slack, url_env: SLACK_WEBHOOK_URL}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules") / "home"
    path = build(folder)
    (folder / "strict.yaml").write_text(STRICT, encoding="utf-8")
    return path


def test_the_stored_days_are_replayed_and_the_messages_of_a_week_are_said(home):
    ran = tiltmeter("rules", "backtest", "--config", home)
    assert ran.code == 0, ran.err
    sentence, *lines = ran.out.splitlines()
    assert "5 windows" in sentence or "5 days" in sentence, sentence
    assert "a week" in sentence
    table = "\n".join(lines)
    assert "2026-03-04" in table
    assert "2026-03-08" in table
    assert "partner-x" in table  # the level planted on the last day


def test_the_document_names_the_planted_level_and_nothing_before_it(home):
    ran = tiltmeter("rules", "backtest", "--json", "--config", home)
    found = json.loads(ran.out)
    assert found["schema"] == "tiltmeter.backtest/1"
    assert [window["rows"] for window in found["windows"]] == [960] * 5
    loud = [alert for alert in found["alerts"] if alert["severity"] in ("warning", "critical")]
    assert {alert["feature"] for alert in loud} == {"source"}
    assert {alert["since"] for alert in loud} == {"2026-03-08T00:00:00+00:00"}
    assert any("partner-x" in alert["effect"] for alert in loud)


def test_two_files_stand_beside_each_other(home):
    strict = home.parent / "strict.yaml"
    ran = tiltmeter("rules", "backtest", "--rules", strict, "--rules", home, "--config", home)
    assert ran.code == 0, ran.err
    header, _, *rows = ran.out.splitlines()
    assert header.split()[:2] == ["rules", "windows"]
    assert header.rstrip().endswith("a week")
    assert [row.split()[0] for row in rows[:2]] == [str(strict), str(home)]


def test_a_page_is_written_and_hours_can_be_replayed(home, tmp_path):
    page = tmp_path / "history.html"
    span = ("--from", "2026-03-07", "--to", "2026-03-08")
    ran = tiltmeter("rules", "backtest", "--every", "hour", *span, "--html", page, "--json", "--config", home)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert len(found["windows"]) == 24
    assert {window["status"] for window in found["windows"]} == {"too_few_rows"}  # forty leads an hour
    assert f"written: {page}" in ran.err
    assert "<svg" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--every", "hours"), '"hours" is no length of a window'),
        (("--model", "lead-scorin"), 'did you mean "lead-scoring"?'),
        (("--from", "yesterday"), '"yesterday" is no date'),
        (("--from", "2026-03-08", "--to", "2026-03-08"), "no whole window lies in that span"),
        (("--rules", "nothing.yaml"), "nothing.yaml"),
    ],
)
def test_wrong_usage_is_said_in_one_line(home, arguments, words):
    ran = tiltmeter("rules", "backtest", *arguments, "--config", home)
    assert ran.code in (1, 2)
    assert len(ran.error_lines) == 1
    assert words in ran.error_lines[0]


def test_without_an_installation_it_says_where_to_run(tmp_path):
    ran = tiltmeter("rules", "backtest", cwd=tmp_path)
    assert ran.code == 2
    assert ran.error_lines == [
        "tiltmeter: no model is configured; run it beside tiltmeter.yaml, or name that file with --config"
    ]
