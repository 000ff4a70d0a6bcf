"""Where deita's complexity and quality come from: models, or what stands in."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from curate.data.read import read
from curate.errors import UsageError
from curate.models.resolve import resolve
from curate.parameters.select import SelectParams
from curate.recipes import ifd, score
from curate.recipes.budgets import tokens_of
from curate.recipes.deita import by_rank
from curate.recipes.select import select
from curate.scorers import complexity, quality
from tests.calling import share_models
from tests.fake import FakeModel, put_in_place
from tests.rankers.fake import FakeReward
from tests.scorers.test_deita import FakeJudge


@pytest.fixture
def models(monkeypatch, scratch_cache):
    """Judges that count words, a language model whose NLL can be worked out, a fake ranker."""
    share_models(scratch_cache)
    asked = []

    def judge(name, trusted, dtype):
        asked.append(name)
        model = FakeJudge(lambda text, digit: 1 / (1 + abs(digit - len(text) % 7)))
        model.name, model.dtype = name, "float32"
        model.files = SimpleNamespace(name=name, languages=())
        return model

    def language_model(name, trusted, dtype):
        asked.append(name)
        model = FakeModel(budget=600)
        model.dtype = "float32"
        model.files = SimpleNamespace(name=name, languages=())
        return model

    monkeypatch.setattr(score, "language_model", judge)
    monkeypatch.setattr(ifd.models, "language_model", language_model)
    # The made-up models have no tokenizer of their own.
    monkeypatch.setattr("curate.recipes.score.tokens_of", lambda rows, *_: tokens_of(rows, None))
    put_in_place(monkeypatch, reward=lambda recipe: asked.append(recipe.name) or FakeReward())
    return asked


def test_ranks_by_hand():
    values = np.array([5.0, -1.0, 5.0, np.nan, 900.0])
    # 4 rows: the middles of their shares are 1/8, 4/8, 4/8, 7/8 of the way from 1 to 6.
    assert by_rank(values)[[1, 0, 2, 4]].tolist() == [1.625, 3.5, 3.5, 5.375]
    assert np.isnan(by_rank(values)[3])
    assert by_rank(np.array([7.0])).tolist() == [3.5]
    assert by_rank(np.array([])).tolist() == []


def test_as_typed_on_a_fresh_machine_others_stand_in_and_that_is_said(
    models, call, rows_file, tmp_path
):
    path = rows_file(12, extra=[{"instruction": "no answer", "output": ""}])
    out = tmp_path / "o"
    answer = call("select", "--input", path, "--recipe", "deita", "--keep", 3, "--output", out)
    assert answer.code == 0, answer.err
    assert models == ["smollm2", "pairs"]
    assert "note: this is not DEITA's own score: IFD by smollm2 stands in" in answer.err
    assert "--complexity hkust-nlp/deita-complexity-scorer" in answer.err
    manifest = json.loads((out / "rows_deita.manifest.json").read_text())
    assert manifest["model"]["complexity"] == "rank of IFD by smollm2"
    assert manifest["model"]["quality"] == "rank of reward by pairs"
    assert manifest["model"]["quality_fingerprint"] == FakeReward.fingerprint
    assert manifest["notes"][0].startswith("this is not DEITA's own score")
    found = select(read(path), SelectParams("deita", keep=3))
    columns = found.scores
    assert {"ifd_loss", "reward", "complexity", "quality", "score"} <= set(columns)
    good = columns[columns["status"] == "ok"]
    assert len(good) == 12
    np.testing.assert_allclose(good["score"], good["complexity"] * good["quality"])
    assert good["complexity"].rank().tolist() == good["ifd_loss"].rank().tolist()
    assert good["quality"].rank().tolist() == good["reward"].rank().tolist()


def test_where_ifd_stands_in_rows_it_does_not_help_are_left_out(models, monkeypatch, rows_file):
    def longer_is_harder(name, trusted, dtype):
        model = FakeModel(lambda before, token: float(len(before)), budget=600)
        model.dtype = "float32"
        model.files = SimpleNamespace(name=name, languages=())
        return model

    monkeypatch.setattr(ifd.models, "language_model", longer_is_harder)
    found = select(read(rows_file(3)), SelectParams("deita", keep=2))
    assert found.choice.counts() == {"ifd_ge_1": 3}
    assert np.isfinite(found.scored.values("score")).all()


def test_models_are_asked_and_turns_are_added_up(models, tmp_path):
    def talk(*turns):
        who = ("human", "gpt") * len(turns)
        return {
            "conversations": [{"from": w, "value": t} for w, t in zip(who, turns, strict=False)]
        }

    path = tmp_path / "talks.json"
    path.write_text(json.dumps([talk("one", "a b", "one two three", "c d"), talk("x y", "z z")]))
    found = select(read(path), SelectParams("deita", keep=1, complexity="c", quality="q"))
    assert models == ["c", "q"]
    frame = found.scores
    turns = frame["turn_complexity"].tolist(), frame["turn_quality"].tolist()
    wanted = [sum(a * b for a, b in zip(c, q, strict=True)) for c, q in zip(*turns, strict=True)]
    assert frame["score"].tolist() == pytest.approx(wanted)
    assert len(set(turns[0][0])) == 2
    assert frame["score"][0] != pytest.approx(frame["complexity"][0] * frame["quality"][0])
    assert found.params.by == "complexity * quality"
    assert found.model["complexity"] == "c"
    assert not any("not DEITA's own" in note for note in found.notes)
    # What the manifest holds can be given again.
    assert select(read(path), found.params).scores["score"].tolist() == frame["score"].tolist()


def test_scores_files_are_for_where_alone(models, rows_file, scores_file):
    path = rows_file(4)
    file = scores_file(path, complexity=[1.0, 2.0, 3.0, 4.0], b=[1, 0, 1, 1])
    with pytest.raises(UsageError, match="--recipe deita asks models .* nothing is read there"):
        select(read(path), SelectParams("deita", keep=4), [file])
    found = select(read(path), SelectParams("deita", keep=4, where="b > 0"), [file])
    assert found.choice.reason.tolist()[1] == "where"


@pytest.mark.model
def test_the_bundled_model_shows_how_the_scorers_run(call, scratch_cache, tmp_path):
    import torch
    import transformers

    share_models(scratch_cache)
    path = tmp_path / "rows.json"
    path.write_text(
        json.dumps(
            [
                {"instruction": "Add.", "input": "40 + 2", "output": "42"},
                {
                    "instruction": "Tell me why leaves are green.",
                    "output": "Because of chlorophyll.",
                },
            ]
        )
    )
    given = ("score", path, "--scorer", "complexity,quality", "--dtype", "float32", "--json")
    answer = call(*given, "--output", tmp_path)
    assert answer.code == 0, answer.err
    assert "note: smollm2 was not trained to give scores: its complexity shows how" in answer.err
    assert "--model hkust-nlp/deita-quality-scorer" in answer.err
    told = json.loads(answer.out.splitlines()[-1])
    found = pq.read_table(told["scores"]).to_pylist()
    folder = resolve("smollm2").folder
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    digits = [tokenizer.encode(each, add_special_tokens=False)[0] for each in "123456"]
    for line, row in zip(found, read(path), strict=True):
        for scorer in (complexity, quality):
            asked = scorer.question(row.prompt, row.response)
            ids = [tokenizer.bos_token_id, *tokenizer.encode(asked, add_special_tokens=False)]
            with torch.inference_mode():
                logits = model(torch.tensor([ids])).logits[0, -1, digits].double()
            wanted = float(logits.softmax(0) @ torch.arange(1.0, 7.0, dtype=torch.float64))
            assert line[scorer.NAME] == pytest.approx(wanted, rel=1e-3)
