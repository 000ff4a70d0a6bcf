"""Runs of `train`, made in a moment."""

from __future__ import annotations

import json
from pathlib import Path


def make_run(folder: Path) -> Path:
    """An adapter whose answers are not the base's, as `train` leaves it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from curate.models.resolve import resolve

    base = resolve("smollm2").folder
    torch.manual_seed(1)
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora)
    with torch.no_grad():
        for name, each in model.named_parameters():
            if "lora_B" in name:
                each.normal_(std=0.02)
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    told = {"format": 1, "name": "tuned", "state": "done", "method": "lora"}
    (folder / "run.json").write_text(json.dumps({**told, "model": "smollm2", "template": "chatml"}))
    return folder
