"""Categories of a followed folder of CSV files are what they are spelt, as in a comparison of the same files."""

from __future__ import annotations

import pytest

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.model import Model, TableSource
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.engines.local.sources import data_files, rows_of_file
from tiltmeter.ingest.prediction_rows import SCORE, foreign, roles_of, training
from tiltmeter.ingest.replay import Files, FolderSource

POSTCODES = [["07001", "10115"] * 50, ["07001", "abroad"] * 50]


def written(path, day, codes):
    lines = ["at,score,code,size", *(f"2026-01-0{day} 08:00:00,0.5,{code},{n}" for n, code in enumerate(codes))]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def followed(tmp_path):
    folder = tmp_path / "scores"
    folder.mkdir()
    for day, codes in enumerate(POSTCODES, start=1):
        written(folder / f"{day}.csv", day, codes)
    source = TableSource(str(folder), columns={"time": "at", "prediction": "score"})
    return Model("m", source=source, kinds={"code": FeatureKind.CATEGORICAL}), tmp_path


def test_levels_of_a_followed_folder_are_learnt_and_counted_as_they_are_spelt(followed):
    model, place = followed
    source = FolderSource.of(model, place / "home", Files(data_files, rows_of_file))
    rows, engine = foreign(source.new_rows(None), model), LocalEngine()
    bins = engine.fit(rows, roles_of(model, rows))
    profile = engine.profile(rows, bins).features["code"]
    assert bins.features["code"].cells.levels == ("07001", "10115", "abroad")
    assert (profile.counts.tolist(), profile.missing) == ([100, 50, 50], 0)
    assert engine.profile(rows, bins).features["size"].missing == 0


def test_a_training_file_and_a_followed_folder_agree(followed):
    model, place = followed
    rows = training(open_rows(written(place / "training.csv", 1, POSTCODES[0])), model)
    engine = LocalEngine()
    bins = engine.fit(rows, roles_of(model, rows))
    assert bins.features["code"].cells.levels == ("07001", "10115")
    source = FolderSource.of(model, place / "home", Files(data_files, rows_of_file))
    profile = engine.profile(foreign(source.new_rows(None), model), bins)
    assert profile.features["code"].counts.tolist()[:2] == [100, 50]
    assert (profile.features["code"].missing, profile.features[SCORE].missing) == (0, 0)
