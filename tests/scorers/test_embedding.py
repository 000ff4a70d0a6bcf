"""Vectors of rows: which text, one vector a row, and never those of something else."""

import hashlib
import json
from contextlib import nullcontext

import numpy as np
import pytest

from curate.data.read import read
from curate.engine.local import LocalEngine
from curate.errors import OutputError, UsageError
from curate.scorers import embedding
from curate.scorers.contract import OK
from curate.scorers.embedding import EmbeddingParams, embed, instruction_text, whole_text


class Hasher:
    """Three numbers of the sha256 of a text; it counts what it is asked."""

    name, dimensions, batch_tokens, workers = "hasher", 3, 40, 2
    device, threads, recipe = "cpu", 1, None

    def __init__(self, fingerprint="h", stop_after=10**9):
        self.fingerprint, self.stop_after, self.asked, self.prepared = (
            fingerprint,
            stop_after,
            [],
            0,
        )

    def lengths(self, texts):
        return [len(text) for text in texts]

    def prepare(self):
        self.prepared += 1

    def embed(self, texts):
        assert self.prepared
        if len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += texts
        return np.array([self.vector(text) for text in texts], dtype=np.float32)

    def vector(self, text):
        digest = hashlib.sha256(f"{self.fingerprint}{text}".encode()).digest()
        return np.frombuffer(digest[:12], dtype="<u4").astype(np.float32)

    def worker(self):
        return nullcontext()


def alpaca(instruction, output, given=""):
    return {"instruction": instruction, "input": given, "output": output}


@pytest.fixture
def rows_of(tmp_path, scratch_cache):
    def make(values, name="rows.json"):
        path = tmp_path / name
        path.write_text(json.dumps(values), encoding="utf-8")
        return read(path)

    return make


@pytest.fixture
def run(tmp_path):
    def run(rows, model=None, text="row", engine=None):
        engine = engine or LocalEngine(tmp_path)
        return embed(rows, EmbeddingParams(text), model or Hasher(), engine)

    return run


def test_texts_by_hand(rows_of):
    row = rows_of([alpaca("Sum up.", "Short.", "A long story."), alpaca("Why?", "Because.")])
    assert whole_text(row[0]) == "Instruction: Sum up. Input: A long story. Response: Short."
    assert whole_text(row[1]) == "Instruction: Why? Response: Because."
    assert instruction_text(row[0]) == "Sum up.\nA long story."
    said = [("human", "咳嗽"), ("gpt", "几天了?"), ("human", "三天"), ("gpt", "多喝水")]
    row = rows_of([{"conversations": [{"from": who, "value": text} for who, text in said]}])[0]
    assert whole_text(row) == "Instruction: 咳嗽\n几天了?\n三天 Response: 多喝水"
    assert instruction_text(row) == "咳嗽\n三天"


def test_a_vector_for_every_row_or_a_status(rows_of, run):
    rows = rows_of([alpaca("a", "b"), alpaca("c", ""), alpaca("a", "d"), alpaca("e", 5)])
    found = run(rows)
    assert found.vectors.shape == (4, 3)
    assert found.vectors.dtype == np.float32
    flaws = [row.flaw for row in rows]
    assert found.status.tolist() == [OK, flaws[1], OK, flaws[3]]
    assert all([flaws[1], flaws[3]])
    assert np.isnan(found.vectors).all(axis=1).tolist() == [False, True, False, True]
    for at in (0, 2):
        assert found.vectors[at].tolist() == Hasher().vector(whole_text(rows[at])).tolist()


def test_equal_texts_are_embedded_once(rows_of, run):
    model = Hasher()
    rows = rows_of([alpaca("a", str(each)) for each in range(9)])
    found = run(rows, model, "instruction")
    assert model.asked == ["a"]
    assert (found.vectors == found.vectors[0]).all()


def test_the_second_time_nothing_is_computed_and_no_journal_is_left(rows_of, run, tmp_path):
    rows, model, again = rows_of([alpaca(f"q{n}", "r") for n in range(30)]), Hasher(), Hasher()
    first = run(rows, model)
    assert not list((tmp_path / "journals").iterdir())
    second = run(rows, again)
    assert (again.asked, again.prepared) == ([], 0)
    assert second.vectors.tobytes() == first.vectors.tobytes()


@pytest.mark.parametrize("change", ["text", "model", "form", "order", "fewer", "input", "nothing"])
def test_what_was_made_of_something_else_is_never_found(rows_of, run, change):
    """The published program reuses bert_embedding.npy for whatever data set comes next."""
    values = [alpaca(f"question {n}", f"answer {n}") for n in range(12)]
    values[3] = alpaca("one\ntwo", "r")
    run(rows_of(values))
    model, text = Hasher(), "row"
    if change == "text":
        values[5]["output"] += "!"
    elif change == "model":
        model = Hasher("another")
    elif change == "form":
        text = "instruction"
    elif change == "order":
        values.reverse()
    elif change == "fewer":
        values.pop()
    elif change == "input":  # the same words and so the same id, but another text
        values[3] = alpaca("one", "r", "two")
    rows = rows_of(values)
    found = run(rows, model, text)
    for row in rows:
        wanted = model.vector(embedding.TEXTS[text](row))
        assert found.vectors[row.position].tolist() == wanted.tolist()
    assert bool(model.asked) == (change != "nothing")


def test_one_row_after_another(rows_of, run):
    for answer in ("one", "two", "one"):
        found = run(rows_of([alpaca("q", answer)]))
        wanted = Hasher().vector(f"Instruction: q Response: {answer}")
        assert found.vectors[0].tolist() == wanted.tolist()


def test_a_stopped_run_continues(rows_of, run):
    rows = rows_of([alpaca(f"question {n}", "r") for n in range(40)])
    first = Hasher(stop_after=10)
    with pytest.raises(KeyboardInterrupt):
        run(rows, first)
    second = Hasher()
    found = run(rows, second)
    assert first.asked
    assert len(second.asked) < 40
    assert found.vectors[7].tolist() == second.vector(whole_text(rows[7])).tolist()


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_a_damaged_file_is_made_again(rows_of, run, tmp_path, damage):
    rows = rows_of([alpaca(f"q{n}", "r") for n in range(5)])
    wanted = np.array(run(rows).vectors)
    (path,) = (tmp_path / "embeddings").glob("*.npy")
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-8], "other": b"no array at all", "empty": b""}[damage])
    assert np.array(run(rows).vectors).tolist() == wanted.tolist()


def test_half_characters_and_long_texts(rows_of, run):
    model = Hasher()
    texts = ("\ud83d half", "x" * (embedding.LONGEST + 5), "y" * embedding.LONGEST)
    found = run(rows_of([alpaca(text, "r") for text in texts]), model, "instruction")
    assert all("\ud83d" not in text for text in model.asked)
    assert max(map(len, model.asked)) == embedding.LONGEST
    assert found.notes == ("embedded by the beginning: 1 row of more than 20,000 characters",)


def test_no_row_with_a_text(rows_of, run):
    found = run(rows_of([alpaca("a", ""), alpaca("b", "")]))
    assert found.vectors.shape == (2, 3)
    assert np.isnan(found.vectors).all()


def test_a_folder_that_cannot_be_written(rows_of, run, tmp_path):
    (tmp_path / "embeddings").write_text("in the way")
    with pytest.raises(OutputError, match="embeddings cannot be written"):
        run(rows_of([alpaca("a", "b")]))


def test_a_text_that_is_none():
    with pytest.raises(
        UsageError, match="'rows': allowed are row, instruction. Did you mean 'row'"
    ):
        EmbeddingParams("rows")
