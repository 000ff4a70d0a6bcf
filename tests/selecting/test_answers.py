"""`curate select --recipe answers`: the likeliest of several, by hand and against a naive loop."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from curate.data.read import read
from curate.errors import DataError, UsageError
from curate.models.resolve import resolve
from curate.parameters.select import SelectParams
from curate.recipes import answers
from curate.recipes.select import select
from tests.fake import FakeModel
from tests.naive import naive_ifd


@pytest.fixture
def likes_a(monkeypatch, models):
    """A model for which every `a` costs 1 nat and any other character 2; it counts its passes."""
    model = FakeModel(lambda before, token: 1.0 if token == ord("a") else 2.0, budget=600)
    model.dtype = "float32"
    model.files = SimpleNamespace(name="fake", languages=("en",))
    monkeypatch.setattr(answers.models, "language_model", lambda *_: model)
    return model


def write(folder, *rows):
    path = folder / "rows.json"
    values = [{"instruction": asked, "output": said, **more} for asked, said, more in rows]
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_by_hand(likes_a, tmp_path):
    path = write(
        tmp_path,
        ("What is it?", "bbbbbbbb", {}),
        ("what is  it", "aab", {}),  # the same prompt once marks and capitals are folded
        ("What is it?", "abb", {}),
        ("What is it?", "aab", {"system": "Be brief."}),  # another system prompt, so alone
        ("Alone?", "bbb", {}),
        ("Empty?", "", {}),
    )
    rows = read(path)
    found = select(rows, SelectParams("answers"))
    assert found.choice.reason.tolist() == [
        *("less_likely", "", "less_likely", "", "", "empty_response")
    ]
    table = found.table().to_pylist()
    assert [line["kept_twin"] for line in table] == [
        rows.ids[1],
        None,
        rows.ids[1],
        None,
        None,
        None,
    ]
    assert [line["answers"] for line in table] == [3, 3, 3, 1, 1, None]
    values = found.scored.values("mean_logprob")
    assert values[1] == values[:3].max()
    assert np.isnan(values[3:]).all()
    assert values[0] == pytest.approx(-2.0)
    assert len(likes_a.asked) == 3, "single answers are not computed, nor responses alone"
    assert "3 answers; 2 rows without another answer to their prompt kept" in found.notes[0]
    assert found.summary().kept + sum(found.summary().dropped.values()) == len(rows)


def test_the_last_answer_of_a_dialogue_counts(likes_a, tmp_path):
    history = {"history": [["Hello?", "bbbbbbbbbbbbbbbb"]]}
    other = {"history": [["Hello?", "aaaa"]]}
    path = write(tmp_path, ("Q?", "aab", history), ("Q?", "aaa", history), ("Q?", "bbb", other))
    found = select(read(path), SelectParams("answers"))
    assert found.choice.reason.tolist() == ["less_likely", "", ""]


def test_an_answer_that_is_too_long_is_not_compared(likes_a, tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "LONGEST", 60)
    path = write(tmp_path, ("Q?", "b" * 99, {}), ("Q?", "bbb", {}))
    found = select(read(path), SelectParams("answers"))
    assert found.choice.reason.tolist() == ["truncated", ""]


def test_equal_rows_leave_one(likes_a, tmp_path):
    rows = read(write(tmp_path, ("Q?", "bab", {}), ("Q?", "bab", {})))
    found = select(rows, SelectParams("answers"))
    assert found.choice.reason.tolist() == ["", "less_likely"]


def test_wrong_use(likes_a, tmp_path, rows_file, call):
    with pytest.raises(DataError, match="no prompt has two answers among 5 rows"):
        select(read(rows_file(5)), SelectParams("answers"))
    assert "\n" not in call.refused("no prompt has", "select", rows_file(5), "--recipe", "answers")
    with pytest.raises(UsageError, match="--keep 10%: --recipe answers keeps one answer"):
        SelectParams("answers", keep="10%")
    with pytest.raises(UsageError, match="--by ifd: --recipe answers goes by --model"):
        SelectParams("answers", by="ifd")


@pytest.mark.model
def test_the_bundled_model_against_a_naive_loop(call, tmp_path, models):
    said = {
        "Name a colour.": ["Blue is a colour.", "Seventeen lamps of oak.", "Red."],
        "What is two and two?": ["Two and two is four.", "Purple purple purple."],
    }
    path = tmp_path / "lists.jsonl"
    lines = [json.dumps({"instruction": asked, "responses": each}) for asked, each in said.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "o"
    answer = call("select", path, "--recipe", "answers", "--output", out, "--json")
    assert answer.code == 0, answer.err
    assert "2 rows held 5 answers" in answer.err
    folder = resolve("smollm2").folder
    model, tokenizer = (
        kind.from_pretrained(folder, **more)
        for kind, more in ((AutoModelForCausalLM, {"dtype": "float32"}), (AutoTokenizer, {}))
    )
    rows = read(path)
    naive = np.array([-naive_ifd(model, tokenizer, row, "chat")[0] for row in rows])
    table = pq.read_table(out / "lists_answers.scores.parquet").to_pylist()
    np.testing.assert_allclose([line["mean_logprob"] for line in table], naive, atol=0.05)
    kept = [line["kept"] for line in table]
    assert kept == [value == part.max() for part in (naive[:3], naive[3:]) for value in part]
    told = json.loads(answer.out.splitlines()[-1])
    assert (told["read"], told["kept"], told["dropped"]) == (5, 2, {"less_likely": 3})
