"""Write tests/fixtures/golden_ifd.json anew: python -m tests.record_golden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from curate.data.read import read
from curate.models.resolve import resolve
from tests.naive import naive_ifd

FIXTURES = Path(__file__).parent / "fixtures"


def record() -> dict[str, Any]:
    folder = resolve("smollm2").folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = read(FIXTURES / "golden_rows.json")
    return {
        template: {row.id: naive_ifd(model, tokenizer, row, template) for row in rows}
        for template in ("chat", "none")
    }


if __name__ == "__main__":
    text = json.dumps(record(), indent=1)
    (FIXTURES / "golden_ifd.json").write_text(text + "\n", encoding="utf-8")
