"""Pages of comparisons and histories: self-contained, escaped, small, quick."""

import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

import tiltmeter
from lead_frames import HOSTILE, leads

VOID = {"meta", "br", "hr"}


class Reader(HTMLParser):
    """Tags, attributes and whether everything that opens is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


def wide(rows, shift, *, features=30, seed=1):
    """Twenty numeric and ten categorical columns; every third moves."""
    rng = np.random.default_rng(seed)
    columns = {}
    for i in range(features):
        moved = shift if i % 3 == 0 else 0.0
        if i % 3 < 2:
            columns[f"number_{i}"] = rng.normal(moved, 1, rows)
        else:
            weights = np.array([5, 3, 2, 1 + 4 * shift, 1])
            columns[f"level_{i}"] = rng.choice(list("abcde"), rows, p=weights / weights.sum()).tolist()
    return pa.table(columns)


@pytest.fixture(scope="module")
def thirty():
    return tiltmeter.compare(wide(4000, 0.0), wide(4000, 1.0, seed=2))


def test_a_page_holds_no_script_and_loads_nothing(thirty):
    reader = read(thirty.to_html())
    assert "script" not in reader.tags
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    links = [value for name, value in reader.attributes if name in {"href", "src"}]
    assert links
    assert all(value.startswith("#") for value in links)
    assert "default-src 'none'" in dict(reader.attributes).get("content", "") or any(
        "default-src 'none'" in (value or "") for _, value in reader.attributes
    )


def test_every_link_leads_to_a_card(thirty):
    reader = read(thirty.to_html())
    places = {value for name, value in reader.attributes if name == "id"}
    assert {value[1:] for name, value in reader.attributes if name == "href"} <= places


def test_the_sentence_stands_first_then_ten_rows_then_pictures(thirty):
    text = thirty.to_html()
    body = text[text.index("<body") :]
    order = [body.index(part) for part in (thirty.sentence.split(";")[0], "What moved most", "in pictures", "<details")]
    assert order == sorted(order)
    table = body[body.index("<tbody>") : body.index("</tbody>")]
    assert table.count("<tr>") == 10
    assert body.index("<details") > body.rindex("critical</span></header>")


def test_thirty_features_take_less_than_250_kib(thirty):
    assert len(thirty.to_html().encode()) < 250 * 1024


def test_hostile_names_are_text_everywhere():
    before = {HOSTILE: ["a", "b"] * 200, "x": [1.0, 2.0] * 200}
    after = {HOSTILE: ["a", HOSTILE] * 200, "x": [1.0, 2.0] * 200, HOSTILE + "2": [1] * 400}
    found = tiltmeter.compare(before, after)
    for text in (found.to_html(), found._repr_html_()):
        reader = read(text)
        assert "script" not in reader.tags
        assert not any(name.startswith("on") for name, _ in reader.attributes)
        assert not any(character in text for character in "\x00\x1b\u202e")


@pytest.mark.parametrize(
    "after",
    [leads(0), leads(30), leads(500, missing=1.0), leads(500).drop_columns(["age", "source"]),
     leads(500).set_column(0, "age", pa.array(["x"] * 500))],
    ids=["no rows", "few rows", "all missing", "columns gone", "type changed"],
)  # fmt: skip
def test_a_page_exists_for_every_status(after):
    text = tiltmeter.compare(leads(500), after, score="score", label="bought").to_html()
    read(text)
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+", "", text.lower())


def test_hundreds_of_quiet_features_stay_a_page_one_can_open():
    rng = np.random.default_rng(3)
    before = pa.table({f"f{i}": rng.normal(0, 1, 250) for i in range(600)})
    after = pa.table({f"f{i}": rng.normal(0, 1, 250) for i in range(600)})
    text = tiltmeter.compare(before, after).to_html()
    assert text.count('class="card"') == 120
    assert "f599" in text


def test_the_notebook_view_is_a_fragment_with_colours_of_its_own(thirty):
    text = thirty._repr_html_()
    reader = read(text)
    assert "html" not in reader.tags
    assert "body.tm" in text
    assert ":root" not in text
    assert reader.tags.count("tr") == 11
    assert len(text.encode()) < 40 * 1024


def test_light_dark_and_paper_are_provided_for(thirty):
    text = thirty.to_html()
    for part in ("prefers-color-scheme:dark", "@page{size:A4", "break-inside:avoid"):
        assert part in text


def test_method_and_remarks_say_how_it_was_made(thirty):
    text = thirty.to_html()
    assert thirty.reference.bins.bins_id in text
    assert "drift.psi: warning above 0.25, critical above 0.5, q &lt; 0.01, at least 200 rows a side" in text


def test_the_page_says_what_moved_the_score():
    rng = np.random.default_rng(2)

    def scored(web):
        source = [HOSTILE] * web + ["fair"] * (2000 - web)
        return pa.table(
            {"source": source, "score": rng.normal(0, 0.02, 2000) + np.repeat([0.2, 0.5], [web, 2000 - web])}
        )

    result = tiltmeter.compare(scored(1200), scored(600), score="score")
    page = read(result.to_html())
    text = " ".join(page.text)
    assert "What moved the score" in text
    assert "the mix of source explains" in text
    assert "of the rows, scores" in text
    assert "script" not in page.tags
    assert "What moved the score" in "".join(read(result._repr_html_()).text)
    quiet = tiltmeter.compare(scored(1200), scored(1200), score="score")
    assert "What moved the score" not in quiet.to_html()


def test_a_long_new_level_is_cut_where_it_is_said():
    before = pa.table({"source": ["web", "mail"] * 400})
    level = "campaign " + "x" * 60
    after = pa.table({"source": ["web", "mail", level, level] * 200})
    page = tiltmeter.compare(before, after).to_html()
    said = "new level campaign " + "x" * 30 + "…, 50 %"
    assert page.count(said) >= 2  # the answer and the row of the table
    assert len(said) == len("new level …, 50 %") + 39


def test_a_card_says_how_exact_a_count_of_different_values_is():
    rng = np.random.default_rng(2)
    few, many = rng.integers(0, 500, 40_000), rng.random(40_000)
    table = pa.table({"few": few, "many": many})
    page = tiltmeter.compare(table.slice(0, 20_000), table.slice(20_000)).to_html()
    rows = re.findall(r"<td>distinct</td><td[^>]*>([^<]*)</td><td[^>]*>([^<]*)</td>", page)
    exact, sketched = sorted(rows, key=lambda row: "±" in row[0])
    assert exact == ("500", "500")
    for text in sketched:
        count, error = re.fullmatch(r"([\d,]+) ± (\d\.\d) %", text).groups()
        assert int(count.replace(",", "")) == pytest.approx(20_000, rel=3 * float(error) / 100)
        assert 0.5 < float(error) < 5


def test_a_notebook_of_another_theme_changes_neither_colour_nor_order_of_a_table(thirty):
    text = thirty._repr_html_()
    # A notebook's own rules hold for one class and an element; these weigh three.
    assert ".tm.tm.tm table{table-layout:auto;margin:0;color:inherit}" in text
    assert ".tm.tm.tm .r{text-align:right}" in text


@pytest.mark.parametrize("now", [lambda rng: rng.normal(3, 1, 2000), None], ids=["moved", "gone"])
def test_the_answer_is_as_loud_as_the_score_where_no_feature_moved(now):
    rng = np.random.default_rng(5)
    age, score = rng.normal(40, 9, 4000), rng.normal(0, 1, 2000)
    after = {"age": age[2000:]} if now is None else {"age": age[2000:], "score": now(rng)}
    found = tiltmeter.compare({"age": age[:2000], "score": score}, after, score="score")
    assert found["age"].severity == 0
    assert found.worst == found.overall.severity == 3
    for text in (found.to_html(), found._repr_html_()):
        assert ("class", "answer a3") in read(text).attributes
