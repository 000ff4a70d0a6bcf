"""IFD as the published scripts compute it: one row at a time, two passes, all logits.

Nothing of curate is used but the reading of rows, so that the two can be compared.
"""

from __future__ import annotations

from typing import Any

import torch

from curate.data.rows import Row


def mean_nll(model: Any, context: list[int], response: list[int]) -> float:
    """Return the model's own mean loss over the response, labels of the context masked."""
    ids = torch.tensor([context + response])
    labels = torch.tensor([[-100] * len(context) + response])
    with torch.no_grad():
        return float(model(input_ids=ids, labels=labels).loss)


def naive_ifd(model: Any, tokenizer: Any, row: Row, template: str) -> tuple[float, float]:
    """Return mean NLL (prompted, alone) of a row with one user turn and one response."""

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    bos = [tokenizer.bos_token_id]
    response = ids(row.response)
    if template == "none":
        system = f"{row.system}\n" if row.system else ""
        return (
            mean_nll(model, bos + ids(f"{system}{row.prompt}\n"), response),
            mean_nll(model, bos, response),
        )
    messages = [{"role": "user", "content": row.prompt}]
    if row.system:
        messages.insert(0, {"role": "system", "content": row.system})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    header = "<|im_start|>assistant\n"
    assert text.endswith(header)
    return mean_nll(model, ids(text), response), mean_nll(model, ids(header), response)
