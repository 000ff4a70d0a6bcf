"""Token sequences of many rows in a file without a name, so that memory does not grow with rows."""

from __future__ import annotations

import hashlib
import tempfile
from array import array
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from curate.models.protocols import TokenSequence
from curate.system.files import writing_to

_FLUSH = 1 << 18


class SequenceStore:
    """Sequences by number; appended first, then read at random from any thread.

    Args:
        scratch: Folder for the file; it disappears with the store, however the process ends.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        with self._writing():
            scratch.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - __exit__ closes it
        self._digest = hashlib.sha256()
        self._tokens, self._spans = array("i"), array("i")
        # Where each sequence ends, in tokens and in spans; the first begins at 0.
        self._ends, self._span_ends = array("q", [0]), array("q", [0])
        self._map: NDArray[np.int32] = np.zeros(0, dtype=np.int32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._map = np.zeros(0, dtype=np.int32)
        with suppress(OSError):  # it tries once more to write what a full disk did not take
            self._file.close()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, ids: Sequence[int], spans: Sequence[tuple[int, int]]) -> None:
        """Add one sequence."""
        self._tokens.extend(ids)
        self._ends.append(self._ends[-1] + len(ids))
        for span in spans:
            self._spans.extend(span)
        self._span_ends.append(len(self._spans) // 2)
        if len(self._tokens) > _FLUSH:
            self._flush()

    def seal(self) -> str:
        """End the appending; return a sha256 of all sequences and spans."""
        self._flush()
        for numbers in (self._ends, self._spans, self._span_ends):
            self._digest.update(numbers.tobytes())
        if self._ends[-1]:
            self._map = np.memmap(self._file, dtype=np.int32, mode="r")
        return self._digest.hexdigest()

    def get(self, number: int) -> TokenSequence:
        """Return one sequence."""
        ids = self._map[self._ends[number] : self._ends[number + 1]].tolist()
        flat = self._spans[2 * self._span_ends[number] : 2 * self._span_ends[number + 1]]
        return TokenSequence(tuple(ids), tuple(zip(flat[::2], flat[1::2], strict=True)))

    def take(self, numbers: NDArray[np.int64]) -> list[TokenSequence]:
        """Return some sequences."""
        return [self.get(number) for number in numbers.tolist()]

    def lengths(self) -> NDArray[np.int64]:
        """Return the tokens of each sequence."""
        ends = np.array(self._ends, dtype=np.int64)
        return ends[1:] - ends[:-1]

    def all_spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the start and the length of every span, and the spans of each sequence."""
        flat = np.array(self._spans, dtype=np.int64).reshape(-1, 2)
        ends = np.array(self._span_ends, dtype=np.int64)
        return flat[:, 0], flat[:, 1] - flat[:, 0], ends[1:] - ends[:-1]

    def _writing(self) -> AbstractContextManager[None]:
        instead = "set CURATRAIN_CACHE to another folder, and give the command again"
        return writing_to(self._scratch, "tokens", instead)

    def _flush(self) -> None:
        block = self._tokens.tobytes()
        self._digest.update(block)
        with self._writing():
            self._file.write(block)
            self._file.flush()
        self._tokens = array("i")
