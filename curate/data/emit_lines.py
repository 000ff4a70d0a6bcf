"""Write millions of rows that are JSON text already: copied, in a drawn order, memory flat."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.columns import HEAD, columns_ahead
from curate.data.emit import told, write_files, write_values
from curate.data.profile import Profile
from curate.data.shape import Shape
from curate.data.shuffle import Shuffle


def write_lines(
    folder: Path,
    name: str,
    lines: Iterable[tuple[NDArray[np.uint64], pa.LargeBinaryArray]],
    size: int,
    profile: Profile,
    shape: Shape,
    manifest: dict[str, Any],
    scores: pa.RecordBatchReader,
) -> list[str]:
    """Write rows that are JSON text already, in the order of their keys; return the files' names.

    Rows are copied as text. Only where columns have values of several types, which their profile
    tells, are they parsed, and written as write_values() does.

    Args:
        folder: Where to write; room for the rows is taken there twice.
        name: Of the data set.
        lines: (n,) keys and n lines, again and again.
        size: Bytes of all lines, about.
        profile: Of the rows, or of more; whole when the last lines have come.
        shape: Of the rows.
        manifest: What made them; sha256 and number of the output's rows are added.
        scores: A line for every row that was looked at.

    Raises:
        OutputError: The disk is full or the folder cannot be written.
    """
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with Shuffle(folder, size) as shuffle:
            for keys, part in lines:
                shuffle.add(keys, part)
            columns = columns_ahead(_beginning(shuffle), profile.kinds, {*shape.columns.values()})
            if columns.change_nothing and profile.same_keys():
                put = partial(_copy_lines, shuffle)
                return write_files(folder, name, put, columns, shape, manifest, scores)
            values = partial(_parsed, shuffle)
            return write_values(folder, name, values, shape, manifest, scores)


def _beginning(shuffle: Shuffle) -> Iterator[dict[str, Any]]:
    """Yield the first rows, those in which every type has to show itself."""
    seen = 0
    for block in shuffle.blocks():
        for line in io.BytesIO(block):
            if seen >= HEAD:
                return
            text = line.decode()
            seen += len(text)
            yield json.loads(text)


def _parsed(shuffle: Shuffle) -> Iterator[dict[str, Any]]:
    for block in shuffle.blocks():
        yield from map(json.loads, io.BytesIO(block))


def _copy_lines(shuffle: Shuffle, path: Path) -> int:
    with path.open("wb") as out:
        for block in shuffle.blocks():
            out.write(block)
    return len(shuffle)
