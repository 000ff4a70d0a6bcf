"""Speed of IFD against the published way of computing it, on one machine in one run.

python -m tests.benchmarks.ifd_speed [--input FILE] [--rows 120] [--model smollm2] [--repeats 3]

The naive loop does what the published scripts do: float32, one row at a time, two passes, all
logits. Times are of scoring alone, without loading; rounds alternate, so that a machine that is
shared slows all of them alike, and medians are compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM, AutoTokenizer

from curate.data.read import read
from curate.data.rows import Row, Rows
from curate.engine.local import LocalEngine
from curate.models.causal_lm import load_causal_lm
from curate.models.resolve import resolve
from curate.scorers.contract import Scores
from curate.scorers.ifd import IFDParams, score
from tests.benchmarks.gemm import gemm_peak
from tests.conftest import ROOT, SHARED
from tests.naive import naive_ifd

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def naive(folder: Path) -> tuple[Any, Any]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, tokenizer


def _plain(row: Row, tokenizer: Any) -> bool:
    """Whether both ways score the row: one question, more than one token of response, not long."""
    if len(row.turns) != 2 or row.flaw:
        return False
    asked, said = (len(tokenizer(text)["input_ids"]) for text in (row.prompt, row.response))
    return said > 1 and asked + said < 900


def time_naive(rows: list[Row], model: Any, tokenizer: Any) -> tuple[float, np.ndarray]:
    began = time.perf_counter()
    pairs = np.array([naive_ifd(model, tokenizer, row, "chat") for row in rows])
    return time.perf_counter() - began, pairs[:, 0] / pairs[:, 1]


def time_ours(rows: Rows, model: Any) -> tuple[float, Scores]:
    with tempfile.TemporaryDirectory() as empty:  # no journal of an earlier round
        began = time.perf_counter()
        scores = score(rows, IFDParams("chat"), model, LocalEngine(Path(empty)))
        return time.perf_counter() - began, scores


def flops(scores: Scores, config: Any) -> float:
    """Return the useful floating-point operations of both passes, padding not counted."""
    wide, inner = config.hidden_size, config.intermediate_size
    groups = config.num_key_value_heads / config.num_attention_heads
    layer = 2 * (wide * wide * (2 + 2 * groups) + 3 * wide * inner)
    prompt, response = scores.values("prompt_tokens"), scores.values("response_tokens")
    total = 0.0
    for length in (prompt + response, response + 3):  # 3: the header of the lone response
        causal = 2 * wide * length * (length + 1)  # scores and mixing, half of the square
        total += float((config.num_hidden_layers * (layer * length + causal)).sum())
        total += float((2 * wide * config.vocab_size * response).sum())
    return total


def main() -> None:
    args = _arguments()
    rows = read(args.input)
    slow, tokenizer = naive(resolve(args.model).folder)
    chosen = [row for row in rows if _plain(row, tokenizer)][: args.rows]
    subset = Rows(rows.shape, rows.sources, rows.table.take([row.position for row in chosen]))
    ours = {dtype: load_causal_lm(args.model, dtype) for dtype in DTYPES}
    for model in ours.values():
        model.prepare()
    seconds: dict[str, list[float]] = {"naive": [], **{dtype: [] for dtype in DTYPES}}
    peaks: dict[str, list[float]] = {dtype: [] for dtype in DTYPES}
    found: dict[str, Scores] = {}
    for _ in range(args.repeats):
        took, expected = time_naive(chosen, slow, tokenizer)
        seconds["naive"].append(took)
        for dtype, model in ours.items():
            peaks[dtype].append(gemm_peak(DTYPES[dtype], model.workers, 1))
            took, found[dtype] = time_ours(subset, model)
            seconds[dtype].append(took)
            peaks[dtype].append(gemm_peak(DTYPES[dtype], model.workers, 1))
    _report(seconds, peaks, found, expected, slow.config)


def _report(
    seconds: dict[str, list[float]],
    peaks: dict[str, list[float]],
    found: dict[str, Scores],
    expected: np.ndarray,
    config: Any,
) -> None:
    first = next(iter(found.values()))
    rows = len(expected)
    prompt, response = first.values("prompt_tokens"), first.values("response_tokens")
    tokens = float((prompt + 2 * response + 3).sum())
    work = flops(first, config)
    base = median(seconds["naive"])
    print(f"{rows} rows, {tokens:,.0f} tokens in both passes, {work / 1e9:,.0f} GFLOP")
    print(
        f"{'':10} {'seconds':>8} {'rows/s':>8} {'tokens/s':>9} {'ratio':>6} {'GFLOPS':>7} "
        f"{'GEMM peak':>10} {'share':>6}"
    )
    for name, times in seconds.items():
        took = median(times)
        line = f"{name:10} {took:8.1f} {rows / took:8.2f} {tokens / took:9.0f} {base / took:6.2f}"
        line += f" {work / took / 1e9:7.0f}"
        if name in peaks:
            peak = median(peaks[name])
            line += f" {peak:10.0f} {work / took / 1e9 / peak:6.0%}"
        print(line)
    for name, scores in found.items():
        values = scores.values("ifd_loss")
        worst = float(np.max(np.abs(values / expected - 1)))
        rank = float(spearmanr(values, expected).statistic)
        print(f"{name}: largest relative difference {worst:.1e}, Spearman {rank:.5f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    alpaca = SHARED / "alpaca_en.json"
    fallback = ROOT / "tests" / "fixtures" / "golden_rows.json"
    parser.add_argument("--input", type=Path, default=alpaca if alpaca.is_file() else fallback)
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="smollm2")
    return parser.parse_args()


if __name__ == "__main__":
    main()
