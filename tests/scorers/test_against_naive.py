"""The optimised scores against a loop that does one row at a time with all logits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM, AutoTokenizer

from curate.data.read import read
from curate.data.rows import Rows
from curate.engine.local import LocalEngine
from curate.models.causal_lm import load_causal_lm
from curate.models.resolve import resolve
from curate.scorers.contract import Scores
from curate.scorers.ifd import IFDParams, score
from tests.naive import mean_nll

FIXTURES = Path(__file__).parent.parent / "fixtures"
GOLDEN = json.loads((FIXTURES / "golden_ifd.json").read_text(encoding="utf-8"))

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def rows() -> Rows:
    return read(FIXTURES / "golden_rows.json")


def scores_of(rows: Rows, template: str, dtype: str, folder: Path) -> Scores:
    model = load_causal_lm("smollm2", dtype)
    return score(rows, IFDParams(template), model, LocalEngine(folder))


def golden(rows: Rows, template: str) -> np.ndarray:
    return np.array([GOLDEN[template][row.id] for row in rows]).T


@pytest.mark.parametrize("template", ["chat", "none"])
def test_float32_is_the_naive_loop(rows: Rows, template: str, tmp_path: Path) -> None:
    found = scores_of(rows, template, "float32", tmp_path)
    prompted, alone = golden(rows, template)
    assert found.status.tolist() == ["ok"] * 20
    np.testing.assert_allclose(found.values("nll_prompted"), prompted, rtol=1e-4)
    np.testing.assert_allclose(found.values("nll_alone"), alone, rtol=1e-4)
    np.testing.assert_allclose(found.values("ifd_loss"), prompted / alone, rtol=1e-4)


def test_bfloat16_keeps_the_order(rows: Rows, tmp_path: Path) -> None:
    found = scores_of(rows, "chat", "bfloat16", tmp_path)
    prompted, alone = golden(rows, "chat")
    np.testing.assert_allclose(found.values("ifd_loss"), prompted / alone, atol=0.02)
    assert spearmanr(found.values("ifd_loss"), prompted / alone).statistic >= 0.99


def test_each_turn_of_a_dialogue_is_the_naive_loop_on_all_before(
    tmp_path: Path, write_json: Callable[..., Path]
) -> None:
    said = ["What is the capital of France?", "Paris, of course.", "And of Peru?", "It is Lima."]
    turns = [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(said)]
    found = scores_of(read(write_json([{"conversations": turns}])), "chat", "float32", tmp_path)
    folder = resolve("smollm2").folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    expected = []
    for end in (1, 3):
        roles = ("user", "assistant")
        before = [{"role": roles[n % 2], "content": said[n]} for n in range(end)]
        context = tokenizer.apply_chat_template(before, tokenize=False, add_generation_prompt=True)
        ids = [tokenizer(text)["input_ids"] for text in (context, said[end])]
        expected.append(mean_nll(model, *ids))
    per_turn = found.columns["turn_nll_prompted"].to_pylist()[0]
    assert per_turn == pytest.approx(expected, rel=1e-4)
    tokens = found.columns["turn_tokens"].to_pylist()[0]
    weighted = np.average(expected, weights=tokens)
    assert found.values("nll_prompted")[0] == pytest.approx(weighted, rel=1e-4)
