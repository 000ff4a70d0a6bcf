"""Models and data folders made by hand: headers and words, no weights that mean anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Words of a template that LLaMA-Factory has no name for.
OWN = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
BLOOM_LAYERS = ("self_attention.query_key_value", "self_attention.dense", "mlp.dense_h_to_4h")
LLAMA_LAYERS = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")


def model_in(
    folder: Path,
    kind: str = "llama",
    chat: str = "",
    words: tuple[str, ...] = ("<|im_start|>", "<|im_end|>"),
    **config: Any,
) -> Path:
    """Write a model of one layer: config, weights, tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 300}
    told = {"model_type": kind, "intermediate_size": 16, **shape, **config}
    (folder / "config.json").write_text(json.dumps(told))
    top, layers = ("h", BLOOM_LAYERS) if kind == "bloom" else ("model.layers", LLAMA_LAYERS)
    tensors = {f"{top}.0.{each}.weight": np.zeros((8, 8), np.float32) for each in layers}
    tensors[f"{top}.0.input_layernorm.weight"] = np.zeros(8, np.float32)
    save_file(tensors, folder / "model.safetensors")
    vocabulary = {"<unk>": 0, "</s>": 1, **{chr(n): n for n in range(2, 250)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.add_special_tokens(["</s>", *words])
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    if chat:
        (folder / "chat_template.jinja").write_text(chat)
    return folder


def adapter_in(folder: Path, base: str, **record: Any) -> Path:
    """Write an adapter, with the run.json of its run where something of it is given."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    if record:
        told = {
            **{"format": 1, "name": folder.name, "stage": "sft", "method": "lora"},
            **{"state": "done", "model": base, "template": "chatml", "config_sha256": ""},
            "dataset": {"name": "talks", "dataset_dir": "data"},
            **record,
        }
        (folder / "run.json").write_text(json.dumps(told))
    return folder


ENTRIES: dict[str, dict[str, Any]] = {
    "talks": {"file_name": "talks.jsonl"},
    "pairs": {
        "file_name": "pairs.jsonl",
        "ranking": True,
        "columns": {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"},
    },
    "verdicts": {
        "file_name": "verdicts.jsonl",
        "columns": {"prompt": "instruction", "response": "output", "kto_tag": "good"},
    },
    "books": {"file_name": "books.jsonl", "columns": {"prompt": "text"}},
}
_ROWS: dict[str, dict[str, Any]] = {
    "talks": {"instruction": "Say {n}.", "input": "", "output": "It is {n}."},
    "pairs": {"instruction": "Say {n}.", "chosen": "It is {n}.", "rejected": "No."},
    "verdicts": {"instruction": "Say {n}.", "output": "It is {n}.", "good": True},
    "books": {"text": "A book about the number {n}, and nothing else."},
}


def data_in(folder: Path, rows: int = 40, *names: str) -> Path:
    """Write data sets of each kind, and the registry of them."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: ENTRIES[name] for name in names or ENTRIES}
    for name in kept:
        with (folder / f"{name}.jsonl").open("w") as stream:
            for n in range(rows):
                row = {
                    key: value.replace("{n}", str(n)) if isinstance(value, str) else n % 2 == 0
                    for key, value in _ROWS[name].items()
                }
                stream.write(json.dumps(row) + "\n")
    (folder / "dataset_info.json").write_text(json.dumps(kept))
    return folder
