"""`curate select --recipe 3ds`: stages by hand with a fake model, numbers with the bundled one."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from curate.data.read import read
from curate.data.schema import Turn
from curate.models.protocols import Reply
from curate.models.resolve import resolve
from curate.parameters.select import SelectParams
from curate.recipes import three_ds
from curate.recipes.select import select
from curate.scorers.instruction import Instructions
from tests.conftest import ROOT
from tests.fake import FakeModel, put_in_place
from tests.naive import naive_ifd
from tests.selecting.fake_answers import FakeAnswers
from tests.selectors.clouds import naive_k_center

ENGLISH = ROOT / "mixtures" / "samples" / "alpaca_en.json"


@pytest.fixture
def fakes(monkeypatch, models):
    """A model that reads `x` hard; instructions are at their number, of that NLL; it answers."""
    model = FakeModel(lambda before, token: 2.0 if token == ord("x") else 1.0, budget=4000)
    model.dtype, model.files = "float32", SimpleNamespace(name="fake", languages=("en",))
    monkeypatch.setattr(three_ds.models, "language_model", lambda *_: model)

    def read_ones(rows, *_):
        numbers = np.array([float(row.prompt.split()[-1]) for row in rows])
        flaws = np.array([row.flaw for row in rows], dtype=object)
        numbers[flaws != ""] = np.nan
        status = np.where(flaws == "", "ok", flaws)
        return Instructions(status, numbers, numbers[:, None].astype(np.float32))

    monkeypatch.setattr(three_ds.models, "instructions_of", read_ones)
    put_in_place(
        monkeypatch,
        generator=lambda recipe: FakeAnswers(
            lambda text: Reply("" if text == "ask 7" else "xx" * (text == "ask 9") + "word")
        ),
    )
    return model


def write(folder, size):
    path = folder / "rows.json"
    path.write_text(
        json.dumps([{"instruction": f"ask {n}", "output": "a word"} for n in range(size)])
    )
    return path


def test_the_stages_by_hand(fakes, scores_file, tmp_path):
    path = write(tmp_path, 21)
    # Rows 0 to 3 are below the bound; of 4 to 20, 7 has no answer; 4 to 20 without 7 are 16 rows.
    quality = np.where(np.arange(21) < 4, 0.0, 1.0 + np.arange(21))
    run = scores_file(path, quality=quality)
    how = SelectParams("3ds", by="quality", min_quality="0", keep=2)
    found = select(read(path), how, [run])
    reasons = found.choice.reason
    assert (reasons[:4] == "low_quality").all()
    assert reasons[7] == "no_own_answer"
    # By their instructions, of 16 rows the inner half: 4 to 20 without 7, from 8.75 to 16.25.
    inside = [n for n in range(9, 17) if n != 9]  # the own answer to 9 is a hard one
    outside = [n for n in range(4, 21) if n not in inside and n != 7]
    assert set(np.flatnonzero(reasons == "outside_band")) == set(outside)
    assert set(np.flatnonzero(np.isin(reasons, ("", "covered")))) == set(inside)
    points = np.array(inside, dtype=np.float32)[:, None]
    centres = naive_k_center(points, found.rows.ids[inside], 2)
    assert set(np.flatnonzero(found.choice.kept)) == {inside[at] for at in centres}
    assert found.choice.counts() == {
        "outside_band": 9,
        "covered": 5,
        "low_quality": 4,
        "no_own_answer": 1,
    }
    assert (
        "17 rows are good enough (--min-quality 0), and 7 of them lie within 25% to 75%"
        in found.notes[-1]
    )
    nll = found.scored.values("nll_own_answer")
    assert nll[9] > nll[8]
    assert np.isnan(nll[[0, 7]]).all()
    assert found.ranked_by == "quality"
    assert found.params.between == ("25%", "75%")


def test_a_wider_band_and_a_share_of_quality(fakes, scores_file, tmp_path):
    path = write(tmp_path, 21)
    run = scores_file(path, quality=np.arange(21.0))
    how = SelectParams("3ds", by="quality", keep=21, between=("0%", "100%"))
    found = select(read(path), how, [run])
    assert np.flatnonzero(found.choice.kept).tolist() == list(range(10, 21))
    assert found.params.min_quality == "50%"
    assert found.notes[-1] == "21 rows were asked for and only 11 can be chosen"


def test_a_smaller_budget_lies_inside_a_larger_one(fakes, scores_file, tmp_path):
    path = write(tmp_path, 21)
    run = scores_file(path, quality=np.arange(21.0))
    kept = [
        set(np.flatnonzero(select(read(path), SelectParams(
            "3ds", by="quality", keep=keep, between=("0%", "100%")
        ), [run]).choice.kept))
        for keep in (2, 4, 8)
    ]  # fmt: skip
    assert kept[0] < kept[1] < kept[2]


@pytest.mark.model
@pytest.mark.timeout(400)
def test_the_bundled_model_against_a_naive_loop(tmp_path, models):
    path = tmp_path / "few.json"
    short = [row for row in json.loads(ENGLISH.read_text(encoding="utf-8")) if len(str(row)) < 300]
    path.write_text(json.dumps(short[:8]))
    found = select(
        read(path), SelectParams("3ds", keep=2, between=("10%", "90%"), max_new_tokens=12)
    )
    counts = found.choice.counts()
    assert counts["low_quality"] == 4, "half are left out"
    assert sum(counts.values()) + int(found.choice.kept.sum()) == 8
    folder = resolve("smollm2").folder
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    table, checked = found.table().to_pylist(), 0
    for row, line in zip(found.rows, table, strict=True):
        if line["reason"] == "low_quality":
            assert line["own_answer"] is None
            continue
        turns = (row.turns[0], Turn("assistant", line["own_answer"]))
        own = replace(row, parsed=row.parsed._replace(turns=turns))
        for name, each in (("nll_prompted", row), ("nll_own_answer", own)):
            assert line[name] == pytest.approx(
                naive_ifd(model, tokenizer, each, "chat")[0], abs=0.1
            )
        assert line["nll_instruction"] > 0
        checked += 1
    assert checked == 4
    again = select(
        read(path), SelectParams("3ds", keep=2, between=("10%", "90%"), max_new_tokens=12)
    )
    assert again.choice.reason.tolist() == found.choice.reason.tolist()
