"""Adapters and small models for the tests of merge and quantize, and a stand-in for programs."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from curate.llamafactory.release import Backend
from curate.models.quiet import quiet
from curate.models.resolve import resolve
from curate.system.files import sha256_of

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def tiny(folder: Path, hidden: int = 64, inner: int = 96, **config: Any) -> Path:
    """Write a Llama of two layers with smollm2's tokenizer and weights drawn with a seed."""
    torch.manual_seed(0)
    told = LlamaConfig(
        vocab_size=49152,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.5,
        tie_word_embeddings=True,
        eos_token_id=2,
        pad_token_id=2,
        **config,
    )
    with quiet():
        LlamaForCausalLM(told).save_pretrained(folder)
    for name in _TOKENIZER:
        shutil.copy(resolve("smollm2").folder / name, folder / name)
    return folder


def adapter(base: Path, folder: Path, scale: float = 0.05, **run: Any) -> Path:
    """Write an adapter as LLaMA-Factory leaves it, its numbers drawn with a seed; and its run."""
    torch.manual_seed(1)
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(base)
        tuned = get_peft_model(
            model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
        )
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=scale)
        tuned.save_pretrained(folder)
    for name in _TOKENIZER:
        shutil.copy(base / name, folder / name)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<|im_start|>"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    write_run(folder, **run)
    return folder


def write_run(folder: Path, **changes: Any) -> Path:
    """Write run.json as `train` does at the end of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "adapter_model.safetensors"
    told = {
        "format": 1,
        "name": folder.name,
        "stage": "sft",
        "method": "lora",
        "state": "done",
        "model": None,
        "template": "chatml",
        "dataset": {"name": "rows", "dataset_dir": "data"},
        "adapter": {"file": weights.name, "sha256": sha256_of(weights)}
        if weights.is_file()
        else None,
        **changes,
    }
    (folder / "run.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def program(path: Path, code: str) -> Path:
    """Write a program of a few lines that stands in for an interpreter."""
    path.write_text(f"#!{sys.executable}\n{code}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def exporting(path: Path, code: str) -> Backend:
    """Return a LLaMA-Factory whose export is a few lines; `told` is the YAML it is given."""
    head = "import sys, yaml, json, shutil, pathlib\ntold = yaml.safe_load(open(sys.argv[-1]))\n"
    return Backend(str(program(path, head + code)), "0.9.5")


# What forgets the adapter: the base comes out as it went in.
FORGETS = (
    "for each in pathlib.Path(told['model_name_or_path']).iterdir():\n"
    "    shutil.copy(each, told['export_dir'])\n"
)
