"""What the headers of safetensors files tell: names, shapes, precision, without loading them."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from curate.errors import ModelError

_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_LONGEST_HEADER = 100 << 20


@dataclass(frozen=True)
class Tensor:
    """A tensor on the disk.

    Attributes:
        name: Of the weight.
        kind: The format's word for its numbers, such as BF16.
        shape: Its sizes.
    """

    name: str
    kind: str
    shape: tuple[int, ...]


def tensors(folder: Path) -> Iterator[Tensor]:
    """Yield what a model's files hold."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as stream:
            head = stream.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            if not 2 <= length <= _LONGEST_HEADER:
                raise ModelError(f"{path} is cut short or corrupt; fetch or copy it again")
            try:
                told = json.loads(stream.read(length))
            except ValueError as error:
                raise ModelError(f"{path} is cut short or corrupt; copy it again") from error
        for name, each in told.items():
            if name != "__metadata__":
                yield Tensor(name, str(each["dtype"]), tuple(each["shape"]))


def stored_dtype(folder: Path) -> str:
    """Return the precision that most numbers of a model are stored in.

    Example:
        >>> stored_dtype(Path("models/smollm2"))
        'float32'
    """
    numbers: Counter[str] = Counter()
    for each in tensors(folder):
        if each.kind in _NAMES:
            numbers[_NAMES[each.kind]] += math.prod(each.shape)
    return numbers.most_common(1)[0][0] if numbers else "float32"


def size(folder: Path) -> int:
    """Return the bytes of all files in a folder and below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def weight_bytes(folder: Path) -> int:
    """Return the bytes of a model's weight files."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
