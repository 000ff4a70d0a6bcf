"""A model in 4 or 8 bits by GPTQ (arXiv 2210.17323), and what that costs in perplexity."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ModelError, UsageError
from curate.system.manifest import versions
from curate.system.model_folder import CONFIG, is_adapter, read_json, tensors, weight_bytes
from deploy.output import check_output, default_output, note, noted, run_or_folder, unfinished
from deploy.quantizing import gptq
from deploy.quantizing.calibration import LEAST, Drawn, calibration_set, draw

# Sizes of a group of weights that share a scale, from the coarsest on: fewer scales are smaller
# and faster, finer ones lose less. GPTQ's group has to divide the width of every layer.
GROUPS = (128, 64, 32, 16)
_BITS = (4, 8)
_PACKED = 32  # weights are packed into words of so many bits
_IN_BLOCK = re.compile(r"\.\d+\..*\.weight$")
# Its layers keep their weights the other way round: (in, out).
_TRANSPOSED = ("gpt2",)
# Perplexity that is worse by more than this is told as a warning.
WORSE = 0.15
# A scale of 16 bits and a zero point for each group, and the embeddings stay as they are.
_ROOM = {4: 0.6, 8: 0.9}


@dataclass(frozen=True)
class QuantiseParams:
    """How a model is quantised: `group_size` None is the largest that fits."""

    bits: int = 4
    group_size: int | None = None
    rows: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bits not in _BITS:
            raise UsageError(f"--bits {self.bits}: allowed are 4 and 8; fewer lose too much")
        if self.rows < LEAST:
            raise UsageError(f"--rows {self.rows}: allowed are {LEAST} and more; usual are 128")


@dataclass(frozen=True)
class Quantised:
    folder: Path
    group_size: int
    dataset: str
    drawn: Drawn
    question: str
    # Of the model as it was, and as transformers loads it now: `perplexity` of the held-out
    # responses' `tokens`, a greedy `answer`, the `dtype` of that, `bytes` of the weights.
    before: dict[str, Any]
    after: dict[str, Any]
    seconds: float

    @property
    def worse(self) -> float:
        """By what share perplexity has grown; negative where it has fallen."""
        return float(self.after["perplexity"] / self.before["perplexity"] - 1)


def quantise(
    name: str,
    params: QuantiseParams,
    output: Path | None,
    dataset: str | None,
    dataset_dir: Path | None,
    say: Callable[[str], None],
) -> Quantised:
    """Quantise, measure before and after, and give the folder its name if all is well."""
    from curate.data.read import read
    from curate.models.quiet import quiet
    from curate.models.resolve import ModelFiles
    from curate.models.text_tokenizer import load_tokenizer

    model, beside = find_model(name)
    group = group_size(params.group_size, check_model(model, name))
    target = output or default_output(beside, f"{params.bits}bit")
    check_output(target, weight_bytes(model) * _ROOM[params.bits])
    gptq.python()
    chosen, files, why = calibration_set(model, dataset, dataset_dir)
    say(f"calibration: data set '{chosen}' {why}")
    with quiet():
        tokenizer = load_tokenizer(ModelFiles(name, model))
    drawn = draw(read(files), tokenizer, name, params.rows, params.seed)
    left_out = ", ".join(f"{reason} {number:,}" for reason, number in drawn.left_out.items())
    say(
        f"of {drawn.rows:,} rows: {len(drawn.calibration):,} to quantise with, "
        f"{len(drawn.held_out):,} others to measure on"
        f"{f'; left out: {left_out}' if left_out else ''} (seed {params.seed})"
    )
    with unfinished(target) as part:
        result = gptq.quantise(model, part, tokenizer, drawn, params.bits, group, say)
        for measured, folder in ((result["before"], model), (result["after"], part)):
            answer = tokenizer.decode(measured["answer"], skip_special_tokens=True).strip()
            # It may be cut off in the middle of a character.
            measured["answer"] = answer.rstrip("\N{REPLACEMENT CHARACTER}")
            measured["bytes"] = weight_bytes(folder)
        quantised = Quantised(
            folder=target,
            group_size=group,
            dataset=chosen,
            drawn=drawn,
            question=drawn.held_out[0].asked or tokenizer.decode(drawn.held_out[0].question),
            before=result["before"],
            after=result["after"],
            seconds=float(result["seconds"]),
        )
        note(part, _manifest(model, name, params, quantised, result["versions"]))
    return quantised


def find_model(name: str) -> tuple[Path, Path]:
    """Return the folder of a whole model, and the path that what is made of it goes beside."""
    from curate.models.resolve import resolve

    typed = run_or_folder(Path(name).expanduser())
    if is_adapter(typed):
        raise UsageError(
            f"{typed} is an adapter, and quantised are whole models; first: deploy merge {typed}"
        )
    if typed.is_dir():
        resolve(str(typed))  # or raise, if it is not whole
        return typed, typed
    return resolve(name).folder, Path(name.rpartition("/")[2])


def check_model(folder: Path, name: str) -> set[int]:
    """Return the widths of a model's layers, after seeing that it can be quantised."""
    config = read_json(folder / CONFIG)
    if how := config.get("quantization_config"):
        method = how.get("quant_method", "some way") if isinstance(how, dict) else "some way"
        raise ModelError(f"{name} is quantised already ({method}); give the model it was made from")
    kinds = [str(kind) for kind in config.get("architectures") or []]
    reward = (folder / "value_head.safetensors").is_file()
    if reward or (kinds and not any("CausalLM" in kind or "LMHead" in kind for kind in kinds)):
        kind = "reward model" if reward else kinds[0]
        raise ModelError(
            f"{name} is a {kind}, which gives no answers; quantised are models that do"
        )
    shapes = {
        tensor.shape
        for tensor in tensors(folder)
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
    model: Path, name: str, params: QuantiseParams, quantised: Quantised, tools: dict[str, str]
) -> dict[str, Any]:
    """Return what made the model; nothing of the time it took, no paths but what was typed."""
    from curate.models.resolve import fingerprint

    base, drawn = noted(model), quantised.drawn
    return {
        "format": 1,
        "made_by": "deploy quantize",
        "base": {"name": name, "fingerprint": fingerprint(model)},
        "bits": params.bits,
        "group_size": quantised.group_size,
        "calibration": {
            "dataset": quantised.dataset,
            "rows": len(drawn.calibration),
            "ids_sha256": drawn.sha256,
            "seed": params.seed,
            "left_out": drawn.left_out,
        },
        "perplexity": {
            "rows": len(drawn.held_out),
            "tokens": quantised.before["tokens"],
            "before": quantised.before["perplexity"],
            "after": quantised.after["perplexity"],
        },
        "template": base.get("template"),
        "dataset": base.get("dataset"),
        "merged_from": base.get("adapter"),
        "versions": {**versions(), **tools},
    }
