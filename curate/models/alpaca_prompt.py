"""Stanford Alpaca's prompt, for models that bring no chat template of their own."""

from __future__ import annotations

ALPACA_PREAMBLE = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
)
ALPACA_PREAMBLE_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
)
ALPACA_HEADER = "### Response:"


def alpaca_instruction(instruction: str, more: str = "") -> str:
    """Return what Stanford Alpaca's prompt makes of an instruction, and of its input."""
    told = f"### Input:\n{more}\n\n" if more else ""
    return f"### Instruction:\n{instruction}\n\n{told}"
