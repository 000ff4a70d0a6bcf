"""Linear layers on CPU with weights laid out once for oneDNN.

torch re-lays the weight at every call, and in float32 it calls MKL, which on some CPUs gives
half of what oneDNN does. `tests/benchmarks/ifd_speed.py` prints both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# Rows that oneDNN plans the layout for; other batch sizes work with the same layout.
_TYPICAL_ROWS = 1024

# oneDNN makes a program for every number of rows that it meets, and keeps a thousand of them: about
# 400 MB. With rows in steps of 16 there are few, made once.
ROW_STEP = 16


def stepped(rows: int) -> int:
    """Return the next multiple of ROW_STEP.

    Args:
        rows: How many there are.

    Example:
        >>> stepped(1), stepped(64), stepped(1000)
        (16, 64, 1008)
    """
    return -(-rows // ROW_STEP) * ROW_STEP


def can_pack() -> bool:
    """Return whether this build of torch has the packed oneDNN operators."""
    return bool(torch.backends.mkldnn.is_available()) and hasattr(
        torch.ops.mkldnn, "_linear_pointwise"
    )


def pack(weight: Tensor) -> Tensor:
    """Return the (out, in) weight in oneDNN's blocked layout.

    Args:
        weight: Dense float32 or bfloat16 matrix on the CPU.
    """
    reorder: Any = torch.ops.mkldnn._reorder_linear_weight
    packed: Tensor = reorder(weight.detach().contiguous(), _TYPICAL_ROWS)
    return packed


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: str = "none") -> Tensor:
    """Return then(x @ weight.T + bias) for a packed weight.

    Args:
        x: (rows, in).
        weight: From pack().
        bias: (out,) or None.
        then: "none" or "swish", applied while the result is in cache.
    """
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "")
    return out


def linear_with(x: Tensor, other: Tensor, weight: Tensor, bias: Tensor | None, how: str) -> Tensor:
    """Return (x @ weight.T + bias) joined with other by "add" or "mul".

    Args:
        x: (rows, in).
        other: (rows, out).
        weight: From pack().
        bias: (out,) or None.
        how: "add" or "mul".
    """
    out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, other, weight, bias, how)
    return out


class PackedLinear(nn.Module):  # type: ignore[misc]
    """Stands in for an nn.Linear of any model; no gradients.

    Args:
        original: Gives its weight, which is not kept: only its dtype can be asked for.
    """

    def __init__(self, original: nn.Linear) -> None:
        super().__init__()
        self.weight = original.weight.new_empty(0)
        self.bias = original.bias
        self.packed = pack(original.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (..., in)."""
        return linear(x, self.packed, self.bias)


def pack_modules(model: nn.Module, keep: nn.Module | None = None) -> None:
    """Replace every nn.Linear below model by its packed twin, in place.

    Args:
        model: Any module on the CPU, in float32 or bfloat16.
        keep: A layer to leave as it is (the output embedding).
    """
    for name, child in list(model.named_children()):
        if type(child) is nn.Linear and child is not keep:
            setattr(model, name, PackedLinear(child))
        else:
            pack_modules(child, keep)
