import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.data.read import read
from tests.calling import Caller, share_models


@pytest.fixture
def call(capsys, scratch_cache):
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
