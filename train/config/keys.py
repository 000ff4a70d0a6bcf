"""`--set key=value`: keys of LLaMA-Factory 0.9.5, checked before anything starts.

What it takes is written down in llamafactory.json: a plan can be made where it is not installed.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.errors import UsageError, did_you_mean
from curate.llamafactory.backend import VERSION

_FILE = Path(__file__).parent / "llamafactory.json"
# What people write, and what old recipes have; 0.9.5 refuses all of them.
_NOW: Mapping[str, str] = {
    **{"lr": "learning_rate", "epochs": "num_train_epochs", "epoch": "num_train_epochs"},
    **{"batch_size": "per_device_train_batch_size", "batch": "per_device_train_batch_size"},
    **{"rank": "lora_rank", "alpha": "lora_alpha", "dropout": "lora_dropout"},
    **{"max_length": "cutoff_len", "max_seq_length": "cutoff_len", "max_len": "cutoff_len"},
    **{"max_source_length": "cutoff_len", "max_target_length": "cutoff_len"},
    **{"scheduler": "lr_scheduler_type", "warmup": "warmup_steps", "steps": "max_steps"},
    **{"beta": "pref_beta", "quantization": "quantization_bit", "target": "lora_target"},
    **{"dpo_beta": "pref_beta", "orpo_beta": "pref_beta", "dpo_ftx": "pref_ftx"},
    **{"dpo_loss": "pref_loss", "evaluation_strategy": "eval_strategy", "no_cuda": "use_cpu"},
    "checkpoint_dir": "adapter_name_or_path",
}
_OURS = "this is not set by hand; "
_GONE = "LLaMA-Factory 0.9.5 has no such key: "
_SECRET = (
    "secrets do not belong on a command line, where others can read them; put it into the "
    "environment (HF_TOKEN, MODELSCOPE_API_TOKEN, SWANLAB_API_KEY)"
)
# Keys that options and commands decide, so that a run's folder says what it is; and what is gone.
_REFUSED: Mapping[str, str] = {
    "stage": _OURS + "type the stage: `train sft`",
    "do_train": _OURS + "`train` always trains",
    "do_predict": _OURS + "`deploy compare` asks models before and after",
    "dataset": _OURS + "give --dataset",
    "dataset_dir": _OURS + "give --dataset-dir",
    "output_dir": _OURS + "give --output",
    "model_name_or_path": _OURS + "give --model",
    "overwrite_output_dir": _OURS + "give --overwrite",
    "resume_from_checkpoint": _OURS + "give --resume",
    "save_safetensors": _GONE + "0.9.5 always saves safetensors; leave it out",
    "group_by_length": _GONE + "0.9.5 has train_sampling_strategy=group_by_length for it",
    "sft_packing": _GONE + "it is called packing now: --set packing=true",
    "fp32": _GONE + "that is what is left without bf16 and fp16: --set bf16=false",
    **dict.fromkeys(("hf_hub_token", "ms_hub_token", "om_hub_token", "hub_token"), _SECRET),
    "swanlab_api_key": _SECRET,
    # Its max_length is that of generated answers, and no training looks at it.
    **{key: f"LLaMA-Factory 0.9.5 calls this {now}: --set {now}=…" for key, now in _NOW.items()},
}
# The least that makes sense; LLaMA-Factory ends on less, or trains nothing, after it has loaded.
_ABOVE_0 = 1e-9
_LEAST: Mapping[str, float] = {
    **{"learning_rate": 0, "warmup_steps": 0, "val_size": 0, "weight_decay": 0, "seed": 0},
    **{"cutoff_len": 1, "lora_rank": 1, "lora_alpha": 1, "max_samples": 1, "max_steps": -1},
    **{"per_device_train_batch_size": 1, "per_device_eval_batch_size": 1},
    **{"gradient_accumulation_steps": 1, "num_train_epochs": _ABOVE_0, "lora_dropout": 0},
    **{"save_steps": _ABOVE_0, "eval_steps": _ABOVE_0, "logging_steps": _ABOVE_0, "pref_ftx": 0},
}


@functools.cache
def recorded(part: str) -> Any:
    """Return a part of llamafactory.json: keys, absent (by release), templates or models.

    A key has the `kind` of its value, its `choices`, `many` for a list, `empty` for none.
    """
    return json.loads(_FILE.read_text(encoding="utf-8"))[part]


def settings(pairs: Sequence[str], release: str = VERSION) -> tuple[dict[str, Any], list[str]]:
    """Read `key=value` pairs; the last of a key counts. Return them typed, and notes."""
    values: dict[str, Any] = {}
    notes = []
    for pair in pairs:
        name, separator, text = pair.partition("=")
        name = name.strip().lstrip("-")
        if not separator or not name:
            raise UsageError(
                f"--set {pair}: allowed is key=value, for example --set learning_rate=1e-4"
            )
        if name == "warmup_ratio":
            notes.append("warmup_ratio is deprecated: warmup_steps below 1 is a share of the steps")
            name = "warmup_steps"
        if name in recorded("absent").get(release, ()):
            raise UsageError(
                f"--set {name}: this stage runs in LLaMA-Factory {release}, which has no such key "
                "yet; leave it out"
            )
        values[name] = _value(name, text.strip())
    return values, notes


def _value(name: str, text: str) -> Any:
    key = _key(name)
    if key.get("empty") and text.lower() in ("none", "null", ""):
        return None
    if key.get("many"):
        return [_one(name, key, part.strip()) for part in text.split(",")]
    value = _one(name, key, text)
    if name in _LEAST and value < _LEAST[name]:
        least = "more than 0" if _LEAST[name] == _ABOVE_0 else f"{_LEAST[name]} and more"
        raise UsageError(f"--set {name}={text}: allowed is {least}")
    # Steps are whole; below 1 they are a share of all.
    return int(value) if name.endswith("_steps") and value >= 1 else value


def _key(name: str) -> Mapping[str, Any]:
    """Return what is known of a key, or say in one line why it cannot be set."""
    if name in _REFUSED:
        raise UsageError(f"--set {name}: {_REFUSED[name]}")
    keys: Mapping[str, Mapping[str, Any]] = recorded("keys")
    if name not in keys:
        raise UsageError(
            f"--set {name}: LLaMA-Factory 0.9.5 has no such key."
            f"{did_you_mean(name, keys)} Its keys are in its documentation; `train STAGE "
            "--dry-run` shows those that are set"
        )
    return keys[name]


def _one(name: str, key: Mapping[str, Any], text: str) -> Any:
    if choices := key.get("choices", ()):
        if text not in choices:
            more = f" and {len(choices) - 12} more" if len(choices) > 12 else ""
            raise UsageError(
                f"--set {name}={text}: allowed are {', '.join(choices[:12])}{more}."
                f"{did_you_mean(text, choices)}"
            )
        return text
    read, allowed = _READERS[key["kind"]]
    try:
        return read(text)
    except ValueError:
        raise UsageError(f"--set {name}={text}: allowed is {allowed}") from None


def _bool(text: str) -> bool:
    yes, no = ("true", "yes", "1", "on"), ("false", "no", "0", "off")
    if text.lower() not in yes + no:
        raise ValueError(text)
    return text.lower() in yes


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _text(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else text


_READERS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "bool": (_bool, "true or false"),
    "int": (int, "a whole number"),
    "float": (_float, "a number such as 5e-5"),
    "json": (json.loads, 'JSON such as {"a": 1}'),
    "str": (_text, "text, or JSON where it begins with {"),
}
