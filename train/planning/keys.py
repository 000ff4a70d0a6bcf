"""`--set key=value`: keys of LLaMA-Factory 0.9.5, checked before anything starts."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from curate.errors import UsageError, did_you_mean
from curate.llamafactory.backend import VERSION
from train.planning.recorded import Key, absent, keys

# What people write, and what old recipes have; 0.9.5 refuses all of them.
_NOW: Mapping[str, str] = {
    **{"lr": "learning_rate", "epochs": "num_train_epochs", "epoch": "num_train_epochs"},
    **{"batch_size": "per_device_train_batch_size", "batch": "per_device_train_batch_size"},
    **{"rank": "lora_rank", "alpha": "lora_alpha", "dropout": "lora_dropout"},
    **{"max_length": "cutoff_len", "max_seq_length": "cutoff_len", "max_len": "cutoff_len"},
    **{"scheduler": "lr_scheduler_type", "warmup": "warmup_steps", "steps": "max_steps"},
    **{"beta": "pref_beta", "quantization": "quantization_bit", "target": "lora_target"},
    "evaluation_strategy": "eval_strategy",
    "dpo_beta": "pref_beta",
    "dpo_ftx": "pref_ftx",
    "dpo_loss": "pref_loss",
    "orpo_beta": "pref_beta",
    "no_cuda": "use_cpu",
    "checkpoint_dir": "adapter_name_or_path",
    "max_source_length": "cutoff_len",
    "max_target_length": "cutoff_len",
}
_GONE: Mapping[str, str] = {
    "save_safetensors": "0.9.5 always saves safetensors; leave it out",
    "group_by_length": "0.9.5 has train_sampling_strategy=group_by_length for it",
    "sft_packing": "it is called packing now: --set packing=true",
    "fp32": "that is what is left without bf16 and fp16: --set bf16=false",
}
# Keys that options and commands decide, so that a run's folder says what it is.
_OURS: Mapping[str, str] = {
    "stage": "type the stage: `train sft`",
    "do_train": "`train` always trains",
    "do_predict": "`deploy compare` asks models before and after",
    "dataset": "give --dataset",
    "dataset_dir": "give --dataset-dir",
    "output_dir": "give --output",
    "model_name_or_path": "give --model",
    "overwrite_output_dir": "give --overwrite",
    "resume_from_checkpoint": "give --resume",
}
_SECRET = ("hf_hub_token", "ms_hub_token", "om_hub_token", "hub_token", "swanlab_api_key")
# The least that makes sense; LLaMA-Factory ends on less, or trains nothing, after it has loaded.
_LEAST: Mapping[str, float] = {
    **{"learning_rate": 0, "warmup_steps": 0, "val_size": 0, "weight_decay": 0, "seed": 0},
    **{"cutoff_len": 1, "lora_rank": 1, "lora_alpha": 1, "max_samples": 1, "max_steps": -1},
    **{"per_device_train_batch_size": 1, "per_device_eval_batch_size": 1},
    **{"gradient_accumulation_steps": 1, "num_train_epochs": 1e-9, "lora_dropout": 0},
    **{"save_steps": 1e-9, "eval_steps": 1e-9, "logging_steps": 1e-9, "pref_ftx": 0},
}
_TRUE, _FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")
_EMPTY = ("none", "null", "")


def settings(pairs: Sequence[str], release: str = VERSION) -> tuple[dict[str, Any], list[str]]:
    """Read `key=value` pairs; the last of a key counts.

    Example:
        >>> settings(["learning_rate=1e-4", "bf16=false"])[0]
        {'learning_rate': 0.0001, 'bf16': False}
    """
    found: dict[str, Any] = {}
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
        if name in absent(release):
            raise UsageError(
                f"--set {name}: this stage runs in LLaMA-Factory {release}, which has no such key "
                "yet; leave it out"
            )
        found[name] = value(name, text.strip())
    return found, notes


def value(name: str, text: str) -> Any:
    """Return a value in the type of its key."""
    _refuse_ours(name)
    # Its max_length is that of generated answers, and no training looks at it.
    key = keys().get(name) if name not in _NOW else None
    if key is None:
        raise UsageError(_unknown(name))
    if key.empty and text.lower() in _EMPTY:
        return None
    if key.many:
        return [_one(name, key, each.strip()) for each in text.split(",")]
    found = _one(name, key, text)
    if name in _LEAST and found < _LEAST[name]:
        least = "more than 0" if _LEAST[name] == 1e-9 else f"{_LEAST[name]} and more"
        raise UsageError(f"--set {name}={text}: allowed is {least}")
    # Steps are whole; below 1 they are a share of all.
    return int(found) if name.endswith("_steps") and found >= 1 else found


def _refuse_ours(name: str) -> None:
    if name in _OURS:
        raise UsageError(f"--set {name}: this is not set by hand; {_OURS[name]}")
    if name in _SECRET:
        raise UsageError(
            f"--set {name}: secrets do not belong on a command line, where others can read them; "
            "put it into the environment (HF_TOKEN, MODELSCOPE_API_TOKEN, SWANLAB_API_KEY)"
        )


def _unknown(name: str) -> str:
    if name in _GONE:
        return f"--set {name}: LLaMA-Factory 0.9.5 has no such key: {_GONE[name]}"
    if name in _NOW:
        return f"--set {name}: LLaMA-Factory 0.9.5 calls this {_NOW[name]}: --set {_NOW[name]}=…"
    near = did_you_mean(name, keys()) or _holding(name)
    return (
        f"--set {name}: LLaMA-Factory 0.9.5 has no such key.{near} Its keys are in its "
        "documentation; `train STAGE --dry-run` shows those that are set"
    )


def _holding(name: str) -> str:
    """Name keys that have a part of the given one."""
    parts = {part for part in name.lower().split("_") if len(part) > 2}
    shared = [each for each in keys() if parts & set(each.split("_"))]
    near = difflib.get_close_matches(name, shared, n=3, cutoff=0.0)
    return f" Near are {', '.join(near)}." if near else ""


def _one(name: str, key: Key, text: str) -> Any:
    if key.choices:
        if text not in key.choices:
            raise UsageError(
                f"--set {name}={text}: allowed are {_listed(key.choices)}."
                f"{did_you_mean(text, key.choices)}"
            )
        return text
    readers: Mapping[str, tuple[Callable[[str], Any], str]] = {
        "bool": (_bool, "true or false"),
        "int": (int, "a whole number"),
        "float": (_float, "a number such as 5e-5"),
        "json": (_json, 'JSON such as {"a": 1}'),
        "str": (_text, "text, or JSON where it begins with {"),
    }
    read, what = readers[key.kind]
    try:
        return read(text)
    except ValueError:
        raise UsageError(f"--set {name}={text}: allowed is {what}") from None


def _listed(choices: Iterable[str]) -> str:
    names = list(choices)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _float(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(text)
    return found


def _json(text: str) -> Any:
    return json.loads(text)


def _text(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else text
