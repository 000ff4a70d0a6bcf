"""A model in 4 or 8 bits by GPTQ (arXiv 2210.17323), and what that costs in perplexity."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ModelError, UsageError
from curate.system.manifest import to_json, versions
from curate.system.model_folder import weight_bytes
from deploy.output import MANIFEST, check_output, made, unfinished
from deploy.quantizing import gptq, gptq_child
from deploy.quantizing.calibration import Drawn, check_count
from deploy.quantizing.grouping import BITS, group_size, widths

# Perplexity that is worse by more than this is told as a warning.
WORSE = 0.15
# A scale of 16 bits and a zero point for each group, and the embeddings stay as they are.
_ROOM = {4: 0.6, 8: 0.9}


@dataclass(frozen=True)
class QuantiseParams:
    """How a model is quantised.

    Attributes:
        bits: 4 or 8, for each weight.
        group_size: Weights that share a scale; None for the largest that fits.
        rows: To quantise with, at most.
        seed: Of their draw.
        dataset: They come from.
    """

    bits: int = 4
    group_size: int | None = None
    rows: int = 128
    seed: int = 0
    dataset: str = ""

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise UsageError(
                f"--bits {self.bits}: allowed are {' and '.join(map(str, BITS))}; 2 and 3 lose too "
                "much to answer sensibly, others are in no format that is served"
            )
        check_count(self.rows)


@dataclass(frozen=True)
class Measured:
    """What a model does on the held-out rows.

    Attributes:
        perplexity: Of the response tokens.
        tokens: How many they are.
        answer: To the first held-out prompt, greedy.
        dtype: It was computed in.
        bytes: Of its weights on the disk.
    """

    perplexity: float
    tokens: int
    answer: str
    dtype: str
    bytes: int


@dataclass(frozen=True)
class Quantised:
    """A quantised model.

    Attributes:
        folder: Where it lies.
        group_size: Weights that share a scale.
        question: That both were asked.
        before: The model as it was.
        after: As transformers loads it now.
        seconds: That quantising took.
    """

    folder: Path
    group_size: int
    question: str
    before: Measured
    after: Measured
    seconds: float

    @property
    def worse(self) -> float:
        """By what share perplexity has grown; negative where it has fallen."""
        return self.after.perplexity / self.before.perplexity - 1


def check_model(folder: Path, name: str) -> set[int]:
    """Return the widths of a model's layers, after seeing that it can be quantised."""
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if found := told.get("quantization_config"):
        how = found.get("quant_method", "some way") if isinstance(found, dict) else "some way"
        raise ModelError(f"{name} is quantised already ({how}); give the model it was made from")
    kinds = [str(each) for each in told.get("architectures") or []]
    if kinds and not any("CausalLM" in each or "LMHead" in each for each in kinds):
        raise ModelError(
            f"{name} is a {kinds[0]}, which gives no answers; quantised are causal language models"
        )
    if (folder / "value_head.safetensors").is_file():
        raise ModelError(f"{name} is a reward model; quantised are models that answer")
    return widths(folder)


def quantise(
    model: Path,
    name: str,
    tokenizer: Any,
    drawn: Drawn,
    params: QuantiseParams,
    output: Path,
    say: Callable[[str], None],
) -> Quantised:
    """Quantise, measure before and after, and give the folder its name if all is well."""
    gptq.python()
    group = group_size(params.group_size, check_model(model, name))
    check_output(output, weight_bytes(model) * _ROOM[params.bits])
    with unfinished(output) as part:
        result = gptq_child.quantise(model, part, tokenizer, drawn, params.bits, group, say)
        manifest = _manifest(model, name, drawn, params, group, result)
        (part / MANIFEST).write_text(to_json(manifest), encoding="utf-8")
        sizes = {"before": weight_bytes(model), "after": weight_bytes(part)}
    before, after = (_measured(result[when], bytes_, tokenizer) for when, bytes_ in sizes.items())
    asked = drawn.held_out[0].asked or tokenizer.decode(drawn.held_out[0].question)
    return Quantised(output, group, asked, before, after, float(result["seconds"]))


def _measured(told: dict[str, Any], bytes_: int, tokenizer: Any) -> Measured:
    answer = tokenizer.decode(told["answer"], skip_special_tokens=True).strip()
    answer = answer.rstrip("\N{REPLACEMENT CHARACTER}")  # cut off in the middle of one
    return Measured(told["perplexity"], told["tokens"], answer, told["dtype"], bytes_)


def _manifest(
    model: Path, name: str, drawn: Drawn, params: QuantiseParams, group: int, result: dict[str, Any]
) -> dict[str, Any]:
    """Return what made the model; nothing of the time it took, no paths but what was typed."""
    from curate.models.resolve import fingerprint

    before = made(model)
    return {
        "format": 1,
        "made_by": "deploy quantize",
        "base": {"name": name, "fingerprint": fingerprint(model)},
        "bits": params.bits,
        "group_size": group,
        "calibration": {
            "dataset": params.dataset,
            "rows": len(drawn.calibration),
            "ids_sha256": drawn.sha256,
            "seed": params.seed,
            "left_out": drawn.left_out,
        },
        "perplexity": {
            "rows": len(drawn.held_out),
            "tokens": result["before"]["tokens"],
            "before": result["before"]["perplexity"],
            "after": result["after"]["perplexity"],
        },
        "template": before.get("template"),
        "dataset": before.get("dataset"),
        "merged_from": before.get("adapter"),
        "versions": {**versions(), **result["versions"]},
    }
