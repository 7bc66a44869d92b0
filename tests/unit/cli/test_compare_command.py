"""`tiltmeter compare` through the real command: answers, exit codes, bad input."""

import gzip
import json
import random
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_line import Ran, tiltmeter
from tiltmeter.cli.app import main

ROWS = 400


def write_csv(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("compare")
    rng = random.Random(7)
    web = [(rng.gauss(40, 9), rng.choice(["web", "phone", "mail"]), i) for i in range(ROWS)]
    moved = [(rng.gauss(60, 9), rng.choice(["web", "phone", "partner-x"]), i) for i in range(ROWS)]
    write_csv(place / "before.csv", "age,source,lead", web)
    write_csv(place / "after.csv", "age,source,lead", moved)
    write_csv(place / "half.csv", "age,source,lead", [*web[:200], *((a, "web", i) for a, _, i in moved[200:])])
    write_csv(place / "few.csv", "age,source,lead", moved[:30])
    write_csv(place / "twins.csv", "age,source,age,lead", [(a, s, a, i) for a, s, i in moved])
    write_csv(place / "all_missing.csv", "age,source,lead", [("", s, i) for _, s, i in web])
    write_csv(place / "other.csv", "x,y", [(1, 2)] * 300)
    (place / "header.csv").write_text("age,source,lead\n")
    (place / "empty.csv").write_text("")
    (place / "noise.csv").write_bytes(bytes(rng.randrange(256) for _ in range(4000)))
    (place / "ragged.csv").write_text("age,source,lead\n1,web,2\n3,4\n")
    (place / "cut.csv.gz").write_bytes(gzip.compress((place / "before.csv").read_bytes())[:400])
    return place


@pytest.fixture
def compare(folder, monkeypatch, capsys):
    """The command inside this process: quick, from the arguments to the exit code."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["compare", *map(str, arguments)])
        shown = capsys.readouterr()
        return Ran(int(ended.value.code or 0), shown.out, shown.err)

    return run


REAL = [
    (("nope.csv", "after.csv"), 1, "nope.csv: there is no such file"),
    (("before.csv", "ragged.csv"), 1, "ragged.csv: the file cannot be read as CSV"),
    (("before.csv", "other.csv"), 1, "no column in common"),
    (("before.csv", "after.csv", "--score", "agee"), 2, 'did you mean "age"?'),
    (
        ("before.csv", "after.csv", "--missing", "age"),
        2,
        '--missing "age" is not of the form column=value; for example',
    ),
    (("before.csv", "after.csv", "--kind", "age"), 2, '--kind "age" is not of the form column=kind; for example'),
    (("before.csv", "empty.csv"), 1, "empty.csv: the file is empty"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), REAL)
def test_a_process_of_its_own_fails_the_same_way(folder, arguments, code, words):
    ran = tiltmeter("compare", *arguments, "--json", cwd=folder)
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err
    assert ran.err.count("tiltmeter: ") == 1
    assert "Traceback" not in ran.err


def test_the_first_line_is_the_answer(compare):
    ran = compare("before.csv", "after.csv", "--ignore", "lead")
    assert ran.code == 0
    assert ran.out.splitlines()[0].startswith("2 of 2 features moved; strongest: ")
    assert "partner-x" in ran.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nope.csv", "after.csv"), 1, "nope.csv: there is no such file"),
        (("before.csv", "befor.csv"), 1, "befor.csv: there is no such file"),
        (("before.csv", "empty.csv"), 1, "empty.csv: the file is empty"),
        (("empty.csv", "after.csv"), 1, "empty.csv: the file is empty"),
        (("header.csv", "after.csv"), 1, "header.csv: there are no rows"),
        (("before.csv", "noise.csv"), 1, "noise.csv"),
        (("before.csv", "ragged.csv"), 1, "ragged.csv: the file cannot be read as CSV"),
        (("before.csv", "cut.csv.gz"), 1, "cut.csv.gz"),
        (("before.csv", "other.csv"), 1, "no column in common"),
        (("before.csv", "after.csv", "--score", "agee"), 2, 'did you mean "age"?'),
    (("before.csv", "after.csv", "--missing", "age"), 2, '--missing "age" is not of the form column=value; for'),
    (("before.csv", "after.csv", "--kind", "age"), 2, '--kind "age" is not of the form column=kind; for example'),
        (("before.csv", "after.csv", "--label", "sourc"), 2, 'did you mean "source"?'),
        (("before.csv", "after.csv", "--entity", "leed"), 2, 'did you mean "lead"?'),
        (("before.csv", "after.csv", "--features", "age,sorce"), 2, 'did you mean "source"?'),
        (("before.csv", "after.csv", "--ignore", "laed"), 2, 'did you mean "lead"?'),
        (("before.csv", "after.csv", "--kind", "aeg=numeric"), 2, 'did you mean "age"?'),
        (("before.csv", "after.csv", "--kind", "age=numerical"), 2, 'did you mean "numeric"?'),
        (("before.csv", "after.csv", "--kind", "age"), 2, "column=kind"),
        (("before.csv", "after.csv", "--kind", "source=numeric"), 2, "holds text"),
        (("before.csv", "after.csv", "--weights", "none.yaml"), 2, "none.yaml: there is no such file"),
        (("before.csv", "after.csv", "--html", "nowhere/r.html"), 2, "nowhere: the folder does not exist"),
        (("before.csv", "twins.csv", "--score", "age"), 2, "occurs more than once"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_sentence(compare, arguments, code, words):
    ran = compare(*arguments, "--json")
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert len(ran.error_lines) == 1
    assert words in ran.error_lines[0]
    assert "Traceback" not in ran.err


def test_nothing_is_written_when_a_comparison_fails(compare, tmp_path):
    assert compare("before.csv", "other.csv", "--html", tmp_path / "r.html").code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_current_side_without_rows_is_a_status_and_no_error(compare):
    ran = compare("before.csv", "header.csv", "--json")
    assert ran.code == 0
    assert {feature["status"] for feature in ran.document["features"].values()} == {"empty"}
    assert ran.document["rows"]["current"] == 0


def test_an_all_missing_column_has_its_status_and_the_rest_is_judged(compare):
    ran = compare("before.csv", "all_missing.csv", "--ignore", "lead", "--json")
    assert ran.code == 0
    features = ran.document["features"]
    assert features["age"]["status"] == "all_missing"
    assert features["age"]["severity"] == "critical"
    assert (features["source"]["status"], features["source"]["severity"]) == ("ok", "none")


@pytest.mark.parametrize("sides", [("before.csv", "twins.csv"), ("twins.csv", "after.csv")])
def test_columns_of_one_name_are_dropped_on_both_sides_and_named(compare, sides):
    ran = compare(*sides, "--json")
    assert ran.code == 0
    assert set(ran.document["features"]) == {"source", "lead"}
    assert "twins.csv: column names that occur more than once are left out: age" in ran.err


def test_too_few_rows_show_numbers_without_severity(compare):
    ran = compare("before.csv", "few.csv", "--ignore", "lead", "--json", "--fail-on", "warning")
    assert ran.code == 0
    source = ran.document["features"]["source"]
    assert (source["status"], source["severity"]) == ("too_few_rows", "none")
    assert source["psi"] > 0.5


@pytest.mark.parametrize(("fail_on", "code"), [("critical", 3), ("warning", 3)])
def test_fail_on_ends_with_3_and_still_prints(compare, fail_on, code):
    ran = compare("before.csv", "after.csv", "--fail-on", fail_on, "--json")
    assert ran.code == code
    assert ran.document["features"]["age"]["severity"] == "critical"


def test_fail_on_is_silent_where_nothing_moved(compare):
    assert compare("before.csv", "before.csv", "--fail-on", "warning").code == 0


def test_weights_shift_the_weighted_psi(compare, tmp_path):
    weights = tmp_path / "weights.json"
    weights.write_text(json.dumps({"age": 0, "source": 1}))
    ran = compare("before.csv", "half.csv", "--ignore", "lead", "--weights", weights, "--json")
    # A feature counts at most 1, so that one of thirty cannot lift the mean alone.
    assert ran.document["overall"]["psi"] == min(1.0, ran.document["features"]["source"]["psi"])
    weights.write_text("age: heavy\n")
    assert compare("before.csv", "after.csv", "--weights", weights).code == 2
    weights.write_text("agee: 2\n")
    assert 'did you mean "age"?' in compare("before.csv", "after.csv", "--weights", weights).err


def test_a_name_with_a_comma_may_be_chosen(compare, tmp_path):
    table = pa.table({"a,b": [1.0, 2.0] * 150, "c": [1.0, 3.0] * 150})
    pq.write_table(table, tmp_path / "t.parquet")
    ran = compare(tmp_path / "t.parquet", tmp_path / "t.parquet", "--features", "a,b", "--json")
    assert list(ran.document["features"]) == ["a,b"]


def test_html_is_written_whole(compare, tmp_path):
    place = tmp_path / "report.html"
    ran = compare("before.csv", "after.csv", "--html", place)
    assert ran.code == 0
    text = place.read_text()
    assert text.startswith("<!doctype html>")
    assert text.endswith("</html>\n")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_terminal_without_unicode_gets_an_answer_too(folder):
    ran = tiltmeter("compare", "before.csv", "after.csv", cwd=folder, PYTHONIOENCODING="ascii")
    assert ran.code == 0
    assert "features moved" in ran.out


def test_a_moved_score_is_explained_below_the_table(compare, folder):
    for name, web in (("scored_before.csv", 300), ("scored_after.csv", 100)):
        rows = [("web", 0.2 + 0.001 * (n % 7)) for n in range(web)]
        write_csv(folder / name, "source,score", [*rows, *(("fair", 0.5 + 0.001 * (n % 7)) for n in range(400 - web))])
    ran = compare("scored_before.csv", "scored_after.csv", "--score", "score")
    assert ran.code == 0
    assert "The mean score went 0.278 → 0.428 (+0.150); the mix of source explains 100 % of it." in ran.out
    assert "rank them, do not add them up" in ran.out
    document = compare("scored_before.csv", "scored_after.csv", "--score", "score", "--json").document
    assert [part["feature"] for part in document["score_shift"]["features"]] == ["source"]


def test_a_label_that_no_row_fulfils_is_questioned(compare):
    ran = compare("before.csv", "after.csv", "--label", "source")
    assert ran.code == 0
    assert "no row of `source` means converted" in ran.err


def test_one_feature_is_one_feature(compare):
    assert "of 1 feature ·" in compare("before.csv", "after.csv", "--features", "age").out


def test_an_entity_column_without_ids_leaves_the_rows_to_count(compare, folder):
    for name, by in (("lost.csv", 40), ("gone.csv", 60)):
        rng = random.Random(by)
        write_csv(folder / name, "größe,lead", [(rng.gauss(by, 9), "") for _ in range(ROWS)])
    ran = compare("lost.csv", "gone.csv", "--entity", "lead", "--json")
    assert ran.code == 0
    assert ran.document["rows_tested"] == {"reference": ROWS, "current": ROWS}
    size = ran.document["features"]["größe"]
    assert (size["status"], size["severity"]) == ("ok", "critical")
    assert size["ks_p_value"] < 1e-9


@pytest.mark.parametrize(
    ("score", "words"), [(None, "the score is gone (critical)"), ("high", "the score changed its type (critical)")]
)
def test_a_score_that_is_gone_or_retyped_is_critical(compare, folder, score, words):
    rng = random.Random(1)
    rows = [(rng.gauss(40, 9), round(rng.random(), 3)) for _ in range(ROWS)]
    write_csv(folder / "scored.csv", "age,score", rows)
    if score is None:
        write_csv(folder / "unscored.csv", "age", [(age,) for age, _ in rows])
    else:
        write_csv(folder / "unscored.csv", "age,score", [(age, f"{score}-{i % 3}") for i, (age, _) in enumerate(rows)])
    ran = compare(
        "scored.csv", "unscored.csv", "--score", "score", "--json", "--fail-on", "critical", "--html", "s.html"
    )
    assert ran.code == 3
    overall = ran.document["overall"]
    assert (overall["severity"], overall["score_psi"], overall["features_critical"]) == ("critical", None, 0)
    assert ran.document["score"]["severity"] == "critical"
    assert words in compare("scored.csv", "unscored.csv", "--score", "score").out
    assert words in (folder / "s.html").read_text()
