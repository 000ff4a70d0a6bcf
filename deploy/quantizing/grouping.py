"""How many weights share a scale: GPTQ's group has to divide the width of every layer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from curate.errors import ModelError, UsageError
from curate.system.model_folder import tensors

# From the coarsest on: fewer scales are smaller and faster, finer ones lose less.
ALLOWED = (128, 64, 32, 16)
BITS = (4, 8)
# Weights are packed into words of 32 bits.
_PACKED = 32
_IN_BLOCK = re.compile(r"\.\d+\..*\.weight$")
# Its layers keep their weights the other way round: (in, out).
_TRANSPOSED = ("gpt2",)


def widths(folder: Path) -> set[int]:
    """Return the widths (inputs) of the layers that GPTQ quantises.

    Example:
        >>> sorted(widths(smollm2))
        [576, 1536]
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    place = 0 if config.get("model_type") in _TRANSPOSED else 1
    shapes = {
        each.shape
        for each in tensors(folder)
        if len(each.shape) == 2 and _IN_BLOCK.search(each.name) and "embed" not in each.name
    }
    if not shapes:
        raise ModelError(f"{folder.name} has no layers of weights that GPTQ could quantise")
    odd = sorted({size for shape in shapes for size in shape if size % _PACKED})
    if odd:
        raise ModelError(
            f"{folder.name} has layers of size {', '.join(map(str, odd))}, and GPTQ packs sizes "
            f"that {_PACKED} divides; it cannot be quantised this way"
        )
    return {shape[place] for shape in shapes}


def group_size(given: int | None, found: Iterable[int]) -> int:
    """Return the group size: as given, else the largest that divides all widths.

    Example:
        >>> group_size(None, {576, 1536})
        64
    """
    every = sorted(set(found))
    fitting = [each for each in ALLOWED if not any(width % each for width in every)]
    if given is None:
        return fitting[0]  # 32 divides all: widths() has seen to it
    if given not in fitting:
        raise UsageError(
            f"--group-size {given}: allowed are {', '.join(map(str, fitting))}, which divide the "
            f"widths of its layers ({', '.join(map(str, every))})"
        )
    return given
