"""The ways from token ids to likelihoods, timed in turns in one run.

python -m tests.benchmarks.routes [--input FILE] [--model smollm2] [--rounds 8]

`apart` is `selected` without the common start computed once. Batches of real
rows in the model's chat template, 1,024 tokens each as on a CPU, logits of the responses only, one
thread; seconds are of that thread's own work, the least of all rounds.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import torch

from curate.data.read import read
from curate.models import likelihood_routes as routes
from curate.models.resolve import resolve
from curate.models.text_tokenizer import HFEncoder, load_tokenizer
from curate.models.weights import load_weights
from tests.conftest import ROOT, SHARED

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def batches(path: Path, encoder: HFEncoder) -> list[Batch]:
    """Return ids, places and targets of a batch of short, of usual and of long rows."""
    found = []
    for row in read(path):
        if len(row.turns) == 2 and not row.flaw:
            turns = [{"role": turn.role, "content": turn.content} for turn in row.turns]
            lead, whole = encoder.encode(
                [encoder.render(turns[:1], True), encoder.render(turns, False)]
            )
            if len(whole) <= 512:
                found.append((whole, len(lead)))
        if len(found) == 400:
            break
    found.sort(key=lambda each: len(each[0]))
    made = []
    for share in (0.2, 0.6, 0.95):
        at = int(share * len(found))
        longest = len(found[at][0])
        some = found[max(0, at - 1024 // longest) : at + 1]
        ids = torch.zeros(len(some), longest, dtype=torch.long)
        places = []
        for line, (whole, start) in enumerate(some):
            ids[line, : len(whole)] = torch.tensor(whole)
            places += range(line * longest + start - 1, line * longest + len(whole) - 1)
        where = torch.tensor(places)
        made.append((ids, where, ids.view(-1)[where + 1]))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    alpaca = SHARED / "alpaca_en.json"
    fallback = ROOT / "tests" / "fixtures" / "golden_rows.json"
    parser.add_argument("--input", type=Path, default=alpaca if alpaca.is_file() else fallback)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    files = resolve(args.model)
    made = batches(args.input, HFEncoder(load_tokenizer(files), args.model))
    for dtype in ("float32", "bfloat16"):
        model = load_weights(files, dtype, "cpu", False)
        ways = {
            "whole": partial(routes._whole, model),
            "apart": routes._selected(model, False, model.dtype),
            "selected": routes._selected(model, True, model.dtype),
        }
        for ids, places, targets in made:
            least = dict.fromkeys(ways, float("inf"))
            for _ in range(args.rounds):
                for name, way in ways.items():
                    with torch.inference_mode():
                        began = time.thread_time()
                        way(ids, places, targets)
                        least[name] = min(least[name], time.thread_time() - began)
            ratios = "  ".join(
                f"{name} {s:.2f} s ({s / least['selected']:.2f})" for name, s in least.items()
            )
            print(f"{dtype} {tuple(ids.shape)}, {len(places)} logits: {ratios}", flush=True)


if __name__ == "__main__":
    main()
