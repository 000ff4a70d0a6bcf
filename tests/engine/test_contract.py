"""What a worker in another process needs of a scorer: recipe, answer() and payload, all pickled."""

from __future__ import annotations

import ast
import json
import multiprocessing
import pickle
from dataclasses import replace

import numpy as np
import pytest

from curate.data.read import read
from curate.engine.local import LocalEngine
from curate.engine.plan import plan_batches
from curate.engine.worker import packed
from curate.errors import ModelError
from curate.models.recipe import ModelRecipe
from curate.models.row_templates import TEMPLATES
from curate.models.text_tokenizer import token_counter
from curate.recipes import ranker
from curate.scorers import (
    complexity,
    embedding,
    ifd,
    instruction,
    necessity,
    pairs,
    quality,
    reward,
)
from curate.scorers.likelihood import likelihoods
from curate.scorers.score_tokens import TokenParams
from tests.conftest import ROOT
from tests.models import tiny

pytestmark = pytest.mark.timeout(900)
LM = ModelRecipe(kind="causal_lm", name="TINY", dtype="bfloat16")
FLOAT = replace(LM, dtype="float32")
REWARD = ModelRecipe(kind="reward", name="pairs")


class Recording(LocalEngine):
    """Keeps, pickled, what it would send a worker elsewhere, and the numbers that it got itself."""

    def run(self, work, rows):
        values = super().run(work, rows)
        plan = plan_batches(work.lengths, work.model.batch_tokens, work.kinds)
        payload = work.take(plan.batch(len(plan) - 1))
        work.model.prepare()
        with work.model.worker():
            here = packed(work.answer(work.model, payload), work.dtype)
        sent = [pickle.dumps(part) for part in (work.model.recipe, work.answer, payload)]
        RECORDED.append((sent, work.dtype, here))
        return values

    def each(self, model, answer, payloads, rows, total, done):
        for payload in payloads:
            block = answer(model, payload)
            sent = [pickle.dumps(part) for part in (model.recipe, answer, payload)]
            RECORDED.append((sent, "bytes", block))
            yield block


RECORDED: list = []


def scored(rows, folder, name, model, engine):
    """Run one scorer over rows."""
    if name in ("complexity", "quality"):
        scorer = {"complexity": complexity, "quality": quality}[name]
        scorer.score(rows, TokenParams(500), model, engine)
    elif name == "ifd":
        ifd.score(rows, ifd.IFDParams("alpaca", 500), model, engine)
    elif name == "prompted":  # answers, 3ds, prove's measuring, the gaps of pairs
        likelihoods(rows, TEMPLATES["alpaca"], 500, model, engine, alone=False)
    elif name == "reward":
        reward.score(rows, reward.RewardParams(), model, engine)
    elif name == "pairs":
        sides = [
            {"instruction": row.prompt, "chosen": row.response, "rejected": "?"} for row in rows
        ]
        path = folder.with_suffix(".json")
        path.write_text(json.dumps(sides), encoding="utf-8")
        pairs.score(read(path), pairs.PairParams(), model, engine, None)
    elif name in ("embedding", "states"):
        embedding.embed(rows, embedding.EmbeddingParams(), model, engine)
    elif name == "instruction":
        instruction.read_instructions(rows, 100, model, engine)
    elif name == "necessity":
        necessity.answers(rows, np.arange(2), 5, model, engine)
    elif name == "ranker":
        texts = [("a question", "an answer"), ("another", "a longer answer to it")]
        work = reward.pairs_work(
            texts,
            texts.__getitem__,
            model,
            answer=ranker._features,
            widths=sum(model.families.values()),
            dtype="float32",
        )
        engine.run(work, 2)


CASES = {
    "complexity": LM,
    "quality": FLOAT,
    "ifd": LM,
    "prompted": LM,
    "reward": REWARD,
    "pairs": REWARD,
    "embedding": ModelRecipe(kind="encoder", name="use"),
    "states": ModelRecipe(kind="states", name="TINY", dtype="float32"),
    "instruction": LM,
    "necessity": ModelRecipe(kind="generator", name="TINY", dtype="float32"),
    "ranker": ModelRecipe(kind="features", name="use"),
}


def test_whoever_makes_a_work_is_tested_here():
    makers = {
        path.stem.removeprefix("_")
        for path in (ROOT / "curate").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("Work", "pairs_work", "sequences.work")
    } - {"local", "sequences"}  # the engine's own, of tokens; and what three scorers call
    of_others = {"likelihood": "ifd", "score_tokens": "complexity"}
    assert {of_others.get(name, name) for name in makers} <= set(CASES)


def elsewhere(sent: list[bytes], dtype: str) -> bytes:
    recipe, answer, payload = map(pickle.loads, sent)
    model = recipe.load()
    model.prepare()
    with model.worker():
        return packed(answer(model, payload), dtype)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Give the recipe of a case; its language model is a small one with random weights."""
    folder = tiny.save(tiny.make("Llama"), tmp_path_factory.mktemp("tiny"))

    def case(name):
        recipe = CASES[name]
        return replace(recipe, name=str(folder)) if recipe.name == "TINY" else recipe

    return case


@pytest.fixture(scope="module")
def other_process():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield lambda *job: pool.apply_async(elsewhere, job).get(800)


@pytest.mark.parametrize("name", CASES)
def test_a_worker_in_a_fresh_process_gives_the_same_bytes(name, case, tmp_path, other_process):
    path = tmp_path / "rows.json"
    rows = [{"instruction": f"{n} + 1?", "output": f"That is {n + 1}."} for n in range(9)]
    path.write_text(json.dumps(rows), encoding="utf-8")
    engine = Recording(tmp_path / "journals")
    RECORDED.clear()
    scored(read(path), tmp_path / "scratch", name, engine.load(case(name)), engine)
    assert [dtype for _, dtype, _ in RECORDED].count("bytes") == (CASES[name] in (LM, FLOAT))
    for sent, dtype, here in RECORDED:
        assert len(sent[0]) < 2000, "a recipe holds no weights"
        assert len(sent[1]) < 1000
        assert len(here) > 0
        assert other_process(sent, dtype) == here


def test_another_model_than_the_drivers_is_refused():
    recipe = replace(ModelRecipe(kind="encoder", name="use").load().recipe, fingerprint="0" * 64)
    with pytest.raises(ModelError, match="'use' is another one here.*started .000000000000.*copy"):
        recipe.load()


@pytest.mark.parametrize(("kind", "name"), [("reward", "pairs"), ("encoder", "use")])
def test_a_folder_called_like_a_bundled_model_is_not_taken_for_it(
    kind, name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    recipe = ModelRecipe(kind=kind, name=name).load().recipe
    assert recipe.load().fingerprint == recipe.fingerprint


@pytest.mark.model
def test_nor_does_it_rename_what_counts_tokens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").mkdir()
    assert token_counter("smollm2").name == "smollm2"


def test_a_worker_with_other_versions_refuses_and_says_which(case, monkeypatch):
    recipe = pickle.loads(pickle.dumps(case("quality").load().recipe))  # noqa: S301 - our own
    assert [name for name, _ in recipe.versions] == ["curatrain", "torch", "transformers"]
    recipe.load()
    driver = dict(recipe.versions)
    workers = {**driver, "torch": "0.1", "transformers": "none"}
    monkeypatch.setattr("curate.models.recipe.versions", lambda: {**workers, "python": "3.99"})
    with pytest.raises(ModelError) as refusal:
        recipe.load()
    told = str(refusal.value)
    assert "this worker has torch 0.1, transformers none, and the run was started with" in told
    assert f"with torch {driver['torch']}, transformers {driver['transformers']}, which" in told
    assert "curatrain" not in told, "that is the same"
    assert "install the same versions here" in told
    replace(recipe, versions=()).load()


def test_device_dtype_and_batch_size_are_the_workers(case, monkeypatch):
    """On a head node without a GPU; nobody there asks torch what there is."""
    import torch

    here, embedding = case("quality").load(), case("embedding").load()
    for asked in ("is_available", "get_device_properties", "is_bf16_supported"):
        monkeypatch.setattr(torch.cuda, asked, None)
    model = replace(case("quality"), device="cuda", dtype="bfloat16").load()
    assert (model.device, model.dtype) == ("cuda", "bfloat16")
    assert model.batch_tokens > here.batch_tokens
    assert model.fingerprint != here.fingerprint
    assert (model.recipe.device, model.recipe.dtype) == ("cuda", "bfloat16")
    answering = replace(case("necessity"), device="cuda", batch_tokens=4000).load()
    assert (answering.device, answering.batch_tokens) == ("cuda", 4000)
    assert replace(REWARD, device="cuda").load().device == embedding.device, "NumPy knows one"
