"""What a GPU makes of the models: numbers against a CPU's, and speed, on random weights.

`python -m tests.gpu.figures --output figures.json`, in the checkout, on a machine with a card; it
needs torch and transformers of any recent version, no data and no network, and takes less than ten
minutes. `--tiny` runs all of it on a CPU, with small shapes, to see that it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from curate.engine.crews import Crews
from curate.engine.local import LocalEngine
from curate.models.causal_lm import CausalLM, OpenedLM, load_causal_lm
from curate.models.hidden_states import load_hidden_states
from curate.models.protocols import TokenSequence
from curate.models.resolve import ModelFiles
from curate.parameters.engine import EngineParams
from curate.scorers.contract import Work
from tests.models import tiny

SMALL = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8}
SMALL |= {"num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 2048}
OF_7B = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32}
OF_7B |= {"num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32000}
ROW = 300  # tokens of prompt and response of a usual row
EXACT, ROUNDED = 2e-3, 0.05  # nats a token between devices: float32, and bfloat16 in the mean
AGREES = 0.98  # rank correlation


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tiny", action="store_true")
    options.add_argument("--output", type=Path)
    given = options.parse_args()
    if not (given.tiny or torch.cuda.is_available()):
        sys.exit("there is no GPU that torch can use; --tiny runs this on the CPU")
    device = "cpu" if given.tiny else "cuda"
    figures: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CURATRAIN_CACHE"] = folder
        shape = {} if given.tiny else {**SMALL, "initializer_range": 0.08}
        name = str(tiny.save(tiny.make("Llama", **shape), Path(folder) / "model"))
        sizes = np.random.default_rng(0).integers(16, 64 if given.tiny else 500, 100)
        rows = tiny.sequences(*sizes.tolist())
        for part, measure in (
            ("numbers", partial(numbers, name, rows, device)),
            ("embeddings", partial(embeddings, name, device)),
            ("two_processes", partial(two_processes, name, rows, device, Path(folder))),
            ("of_7b", partial(of_7b, given.tiny, device)),
        ):
            began = time.perf_counter()
            figures[part] = measure()
            figures[part]["seconds_in_all"] = round(time.perf_counter() - began, 1)
            print(part, json.dumps(figures[part]), flush=True)
    if given.output:
        given.output.write_text(json.dumps(figures, indent=1) + "\n")
    off = [part for part, each in figures.items() if isinstance(each, dict) and not each["right"]]
    sys.exit(f"not as expected: {', '.join(off)}" if off else 0)


@contextmanager
def loaded(model: Any) -> Any:
    model.prepare()
    with model.worker():
        yield model


def nll(name: str, rows: list[TokenSequence], dtype: str, device: str) -> np.ndarray:
    """Return nats a token of every row, computed in batches of the model's size."""
    with loaded(load_causal_lm(name, dtype, device=device)) as model:
        sums = [model.span_nll([row])[0] for row in rows]
    tokens = [[end - start for start, end in row.spans] for row in rows]
    return np.array([sum(one) / sum(many) for one, many in zip(sums, tokens, strict=True)])


def numbers(name: str, rows: list[TokenSequence], device: str) -> dict[str, Any]:
    """Compare the device's NLL with the CPU's in float32."""
    right = nll(name, rows, "float32", "cpu")
    found: dict[str, Any] = {"rows": len(rows), "spread_nats": float(right.std())}
    for dtype in ("float32", "bfloat16"):
        other = nll(name, rows, dtype, device)
        found[dtype] = {
            "largest": float(np.abs(other - right).max()),
            "mean": float(np.abs(other - right).mean()),
            "rank_agreement": ranks(right, other),
        }
    exact, rounded = found["float32"], found["bfloat16"]
    found["right"] = bool(exact["largest"] < EXACT and rounded["mean"] < ROUNDED)
    found["right"] &= bool(rounded["rank_agreement"] > AGREES)
    return found


def ranks(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.argsort().argsort(), other.argsort().argsort())[0, 1])


def embeddings(name: str, device: str) -> dict[str, Any]:
    """Compare the device's vectors of texts, of length 1, with the CPU's."""
    texts = [f"text {n}: " + "word " * (n % 60 + 3) for n in range(64)]
    vectors = []
    for where in ("cpu", device):
        with loaded(load_hidden_states(name, "float32", device=where)) as model:
            vectors.append(model.embed(texts))
            began = time.perf_counter()
            model.embed(texts)
            seconds = time.perf_counter() - began
    lowest = float((vectors[0] * vectors[1]).sum(1).min())
    return {
        "lowest_cosine": lowest,
        "texts_a_second": len(texts) / seconds,
        "right": lowest > 0.999,
    }


def _answer(model: Any, batch: list[TokenSequence]) -> list[list[float]]:
    found: list[list[float]] = model.span_nll(batch)
    return found


def two_processes(
    name: str, rows: list[TokenSequence], device: str, folder: Path
) -> dict[str, Any]:
    """Compare the bytes of two processes with those of one, on one card."""
    seconds, values = [], []
    for place, params in enumerate((EngineParams(), EngineParams(workers=2))):
        said: list[str] = []
        engine = LocalEngine(folder / f"journals{place}", say=said.append, crews=Crews(params))
        model = load_causal_lm(name, device=device)
        work = Work(
            model=model,
            lengths=np.array([len(row.ids) for row in rows]),
            widths=np.array([len(row.spans) for row in rows]),
            take=lambda items: [rows[item] for item in items.tolist()],
            answer=_answer,
            digest="rows",
        )
        began = time.perf_counter()
        values.append(engine.run(work, len(rows)).tobytes())
        seconds.append(round(time.perf_counter() - began, 1))
    found = {"one": seconds[0], "two": seconds[1], "said": said}
    return {**found, "right": values[0] == values[1] and "workers" in said[-1]}


def of_7b(small: bool, device: str) -> dict[str, Any]:
    """Measure likelihoods at the shapes of a model of 7 billion parameters, in bfloat16."""
    config = transformers.LlamaConfig(**({**tiny.SHAPE} if small else OF_7B))
    with torch.device(device):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        try:
            raw = transformers.AutoModelForCausalLM.from_config(config).eval()
        finally:
            torch.set_default_dtype(before)
    model = CausalLM(
        OpenedLM(
            name="7b",
            files=ModelFiles("7b", Path()),
            load=lambda: raw,
            tokenizer=tiny.byte_tokenizer(),
            fingerprint="7b",
            dtype="bfloat16",
            device=device,
            max_positions=2048,
            config={},
        )
    )
    weights = (
        sum(each.numel() for each in raw.parameters()) - raw.get_input_embeddings().weight.numel()
    )
    count = max(1, (600 if small else model.batch_tokens) // ROW)
    batch = [
        TokenSequence(tuple((7 * n + at) % 250 for at in range(ROW)), ((ROW // 3, ROW),))
        for n in range(count)
    ]
    with loaded(model):
        for _ in range(2):
            model.span_nll(batch)
        began, times = time.perf_counter(), 2 if small else 10
        for _ in range(times):
            found = model.span_nll(batch)
        seconds = (time.perf_counter() - began) / times
    tokens = count * ROW
    flops, most = 2.0 * weights * tokens / seconds, peak(device, 256 if small else 8192)
    return {
        "parameters": weights,
        "route": model.route,
        "tokens_a_second": round(tokens / seconds),
        "passes_a_second": round(count / seconds, 1),
        "tflops": flops / 1e12,
        "peak_measured_tflops": most / 1e12,
        "share_of_peak": flops / most,
        "right": bool(np.isfinite(np.array(found)).all()),
    }


def peak(device: str, size: int) -> float:
    """Return the operations a second of a product of bfloat16 matrices."""
    one = torch.randn(size, size, dtype=torch.bfloat16, device=device)
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    for _ in range(3):
        one @ one
    wait()
    began, times = time.perf_counter(), 20
    for _ in range(times):
        one @ one
    wait()
    return 2.0 * size**3 * times / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
