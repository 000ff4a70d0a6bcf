"""A model in 4 or 8 bits by GPTQ (arXiv 2210.17323), and what that costs in perplexity."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from curate.errors import ModelError, UsageError
from curate.models.quiet import quiet
from curate.models.resolve import ModelFiles, fingerprint, resolve
from curate.models.text_tokenizer import load_tokenizer
from curate.models.weights import max_positions
from curate.system import model_folder
from curate.system.manifest import versions
from deploy.output import (
    check_output,
    default_output,
    folder_of,
    note,
    noted,
    portable,
    unfinished,
)
from deploy.quantizing import gptq
from deploy.quantizing.calibration import Drawn, QuantiseParams, draw
from deploy.training_data import data_set_of

# Sizes of a group of weights that share a scale, from the coarsest on: fewer scales are smaller
# and faster, finer ones lose less. GPTQ's group has to divide the width of every layer.
GROUPS = (128, 64, 32, 16)
_PACKED = 32  # weights are packed into words of so many bits
_IN_BLOCK = re.compile(r"\.\d+\..*\.weight$")
# Its layers keep their weights the other way round: (in, out).
_TRANSPOSED = ("gpt2",)
# Perplexity that is worse by more than this is told as a warning.
WORSE = 0.15
# A scale of 16 bits and a zero point for each group, and the embeddings stay as they are.
_ROOM = {4: 0.6, 8: 0.9}


def quantise(
    name: str,
    params: QuantiseParams,
    output: Path | None,
    dataset: str | None,
    dataset_dir: Path | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Quantise, measure before and after, and give the folder its name if all is well.

    Returns what --json tells. `before` and `after` are of the model as it was, and as transformers
    loads it now: `perplexity` of the held-out responses' `tokens`, a greedy `answer`, the `dtype`
    of that, `bytes` of the weights. `worse` is by what share perplexity has grown.
    """
    model, beside = find_model(name)
    group = group_size(params.group_size, check_model(model, name))
    target = output or default_output(beside, f"{params.bits}bit")
    check_output(target, model_folder.weight_bytes(model) * _ROOM[params.bits])
    gptq.python()
    data_set = data_set_of(model, dataset, dataset_dir)
    say(f"calibration: data set '{data_set.name}' {data_set.why}")
    longest = max_positions(model_folder.read_json(model / model_folder.CONFIG))
    if longest and longest < params.max_length:
        params = replace(params, max_length=longest)
        say(f"note: the model takes {longest:,} tokens: longer rows are left out")
    with quiet():
        tokenizer = load_tokenizer(ModelFiles(name, model))
    drawn = draw(data_set.read(), tokenizer, name, params.rows, params.seed, params.max_length)
    left_out = ", ".join(f"{reason} {number:,}" for reason, number in drawn.left_out.items())
    say(
        f"of {drawn.rows:,} rows: {len(drawn.calibration):,} to quantise with, "
        f"{len(drawn.held_out):,} others to measure on"
        f"{f'; left out: {left_out}' if left_out else ''} (seed {params.seed})"
    )
    with unfinished(target) as part:
        result = gptq.quantise(model, part, tokenizer, drawn, params, group, say)
        before, after = result["before"], result["after"]
        worse = float(after["perplexity"] / before["perplexity"] - 1)
        if not math.isfinite(worse):
            both = f"{before['perplexity']:g} before, {after['perplexity']:g} after"
            raise ModelError(
                f"the perplexity of {name} is {both}: its numbers overflow. Nothing was kept; give "
                "a model that was saved in bfloat16 or float32"
            )
        for measured, folder in ((before, model), (after, part)):
            answer = tokenizer.decode(measured["answer"], skip_special_tokens=True).strip()
            # It may be cut off in the middle of a character.
            measured["answer"] = answer.rstrip("\N{REPLACEMENT CHARACTER}")
            measured["bytes"] = model_folder.weight_bytes(folder)
        note(part, _manifest(model, name, params, group, data_set.name, drawn, result))
    return {
        "folder": target,
        "bits": params.bits,
        "group_size": group,
        "dataset": data_set.name,
        "question": drawn.held_out[0].asked or tokenizer.decode(drawn.held_out[0].question),
        "before": before,
        "after": after,
        "worse": worse,
        "seconds": float(result["seconds"]),
        "calibration_rows": len(drawn.calibration),
        "held_out_rows": len(drawn.held_out),
        "left_out": drawn.left_out,
        "warning": worse > WORSE,
    }


def find_model(name: str) -> tuple[Path, Path]:
    """Return the folder of a whole model, and the path that what is made of it goes beside."""
    typed = folder_of(name)
    if typed is None:
        return resolve(name).folder, Path(name.rpartition("/")[2])
    if model_folder.is_adapter(typed):
        raise UsageError(
            f"{typed} is an adapter, and quantised are whole models; first: deploy merge {typed}"
        )
    resolve(str(typed))  # or raise, if it is not whole
    return typed, typed


def check_model(folder: Path, name: str) -> set[int]:
    """Return the widths of a model's layers, after seeing that it can be quantised."""
    config = model_folder.read_json(folder / model_folder.CONFIG)
    if how := config.get("quantization_config"):
        method = how.get("quant_method", "some way") if isinstance(how, dict) else "some way"
        raise ModelError(f"{name} is quantised already ({method}); give the model it was made from")
    model_folder.refuse_reward_model(folder)
    kinds = [str(kind) for kind in config.get("architectures") or []]
    if kinds and not any("CausalLM" in kind or "LMHead" in kind for kind in kinds):
        raise ModelError(
            f"{name} is a {kinds[0]}, which gives no answers; quantised are models that do"
        )
    shapes = {
        tensor.shape
        for tensor in model_folder.tensors(folder)
        if len(tensor.shape) == 2 and _IN_BLOCK.search(tensor.name) and "embed" not in tensor.name
    }
    if not shapes:
        raise ModelError(f"{name} has no layers of weights that GPTQ could quantise")
    if odd := sorted({size for shape in shapes for size in shape if size % _PACKED}):
        sizes = f"{', '.join(map(str, odd))}, and GPTQ packs sizes that {_PACKED} divides"
        raise ModelError(f"{name} has layers of size {sizes}; it cannot be quantised this way")
    place = 0 if config.get("model_type") in _TRANSPOSED else 1
    return {shape[place] for shape in shapes}


def group_size(given: int | None, widths: Iterable[int]) -> int:
    """Return the group size: as given, else the largest that divides all widths."""
    every = sorted(set(widths))
    fitting = [size for size in GROUPS if not any(width % size for width in every)]
    if given is None:
        return fitting[0]  # 32 divides all: check_model() has seen to it
    if given not in fitting:
        divide = f"which divide the widths of its layers ({', '.join(map(str, every))})"
        allowed = ", ".join(map(str, fitting))
        raise UsageError(f"--group-size {given}: allowed are {allowed}, {divide}")
    return given


def _manifest(
    model: Path,
    name: str,
    params: QuantiseParams,
    group: int,
    dataset: str,
    drawn: Drawn,
    result: dict[str, Any],
) -> dict[str, Any]:
    base = noted(model)
    return {
        "format": 1,
        "made_by": "deploy quantize",
        "base": {"name": portable(name), "fingerprint": fingerprint(model)},
        "bits": params.bits,
        "group_size": group,
        "calibration": {
            "dataset": dataset,
            "rows": len(drawn.calibration),
            "ids_sha256": drawn.sha256,
            "max_length": params.max_length,
            "seed": params.seed,
            "left_out": drawn.left_out,
        },
        "perplexity": {
            "rows": len(drawn.held_out),
            "tokens": result["before"]["tokens"],
            "before": result["before"]["perplexity"],
            "after": result["after"]["perplexity"],
        },
        "template": base.get("template"),
        "dataset": base.get("dataset"),
        "merged_from": base.get("adapter"),
        "versions": {**versions(), **result["versions"]},
    }
