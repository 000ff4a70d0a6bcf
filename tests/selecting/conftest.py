import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.data.read import read
from curate.models.protocols import Reply
from curate.recipes import mods
from tests.calling import Caller, share_models
from tests.fake import put_in_place
from tests.rankers.fake import FakeReward
from tests.selecting.fake_answers import FakeAnswers


@pytest.fixture
def call(capsys, scratch_cache):
    share_models(scratch_cache)
    return Caller(capsys)


@pytest.fixture
def models(scratch_cache):
    """Converted models, in an otherwise empty cache."""
    return share_models(scratch_cache)


@pytest.fixture
def rows_file(tmp_path):
    """Write so many rows; return the path."""

    def write(size, name="rows.json", **more):
        values = [{"instruction": f"Question {i}?", "output": f"Answer {i}."} for i in range(size)]
        path = tmp_path / name
        path.write_text(json.dumps([*values, *more.get("extra", ())]), encoding="utf-8")
        return path

    return write


@pytest.fixture
def scores_file(tmp_path):
    """Write a scores file of rows; columns by name, a value a row."""

    def write(path, name="run", take=None, **columns):
        ids = pa.array(read(path).ids, pa.string())
        columns = {"status": ["ok"] * len(ids), **columns}
        table = pa.table({"id": ids, **columns})
        table = table if take is None else table.take(take)
        file = tmp_path / f"{name}.scores.parquet"
        pq.write_table(table, file)
        return file

    return write


@pytest.fixture
def fake_answers(monkeypatch, scratch_cache):
    """Fake rewards; call it to put an answering model in place."""
    share_models(scratch_cache)
    reward = FakeReward()
    put_in_place(monkeypatch, reward=lambda recipe: reward)

    def answering(rule=lambda text: Reply("word"), mark="a"):
        model = FakeAnswers(rule, mark)
        model.reward = reward
        put_in_place(monkeypatch, generator=lambda recipe: model)
        monkeypatch.setattr(mods, "about_language", lambda rows, params: [])
        return model

    return answering
