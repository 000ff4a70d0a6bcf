"""Runs with LLaMA-Factory's interpreter, nothing of curate is needed: seconds of a training step.

`python two_steps.py MODEL TOKENS LORA RESULT.json`: two steps, forward and backward, in float32 and
in bfloat16 as LLaMA-Factory computes in them on a CPU (weights in that precision, adapters in
float32, autocast), after one that warms up; the quicker of the two is written.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    folder, tokens, lora, result = sys.argv[1:]
    torch = importlib.import_module("torch")
    seconds = {
        name: _seconds(torch, folder, int(tokens), lora == "lora", name)
        for name in ("float32", "bfloat16")
    }
    Path(result).write_text(json.dumps(seconds), encoding="utf-8")


def _seconds(torch: Any, folder: str, tokens: int, lora: bool, name: str) -> float:
    transformers, peft = map(importlib.import_module, ("transformers", "peft"))
    half = name == "bfloat16"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    model = model.to(torch.bfloat16 if half and lora else torch.float32).train()
    if lora:
        config = peft.LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    ids = (torch.arange(tokens) % model.config.vocab_size)[None]
    took = []
    for _ in range(3):
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        model.zero_grad()
        took.append(time.perf_counter() - began)
    return min(took[1:])


if __name__ == "__main__":
    main()
