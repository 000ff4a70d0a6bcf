"""Data sets of dataset_info.json: their files, on this machine or on a hub, and the rows taken."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from curate.data.describe import counted
from curate.data.hub_files import hub_files
from curate.data.inputs import InputFile, input_files
from curate.data.naming import Naming
from curate.errors import DataError, UsageError
from curate.llamafactory.dataset_info import FILE, NamedRows, named_rows, read_registry

if TYPE_CHECKING:
    from curate.data.row_cache import Stored

_SEED = 42  # LLaMA-Factory's, where a training sets no other


def registered(
    folder: Path, name: str, opened: ExitStack
) -> tuple[NamedRows, Naming, list[InputFile]]:
    entry = named_rows(folder, name)
    by = f"{FILE}, entry '{name}', columns:"
    naming = Naming(entry.columns, entry.roles, by=by, expected=entry.given)
    if isinstance(entry.place, Path):
        return entry, naming, input_files(entry.place, opened)
    try:
        files = hub_files(entry.place, str(entry.attributes.subset or ""))
    except (DataError, UsageError) as error:
        both = entry.place.hub == "hf" and "ms_hub_url" in read_registry(folder)[name]
        other = "; USE_MODELSCOPE_HUB=1 takes it from ModelScope" if both else ""
        raise DataError(f"{FILE}, entry '{name}': {error}{other}") from error
    return entry, naming, [InputFile(*file) for file in files]


def taken(parts: Sequence[Stored], entry: NamedRows) -> list[Stored]:
    """Return the rows that an entry's `split` and `num_samples` leave, in the order of the files.

    Of rows that are drawn those are taken that LLaMA-Factory draws with its own seed: a permutation
    of all, and, where there are too few, more of them by chance.
    """
    split, count = entry.attributes.split, entry.attributes.num_samples
    total = sum(len(part.table) for part in parts)
    # Shares are rounded to the nearest row.
    start, end = (
        (round(int(text[:-1]) * total / 100.0) if text.endswith("%") else int(text))
        if text
        else None
        for text in entry.bounds
    )
    places = np.arange(total)[start:end]
    note = f"{len(places):,} of {total:,} rows, those of {split}"
    changes = {note: 0} if len(places) < total else {}
    if count is not None and len(places):
        # Its own generator and its own calls, so that these rows are those.
        generator = np.random.RandomState(_SEED)  # noqa: NPY002
        first = generator.permutation(len(places))[:count]
        kept = np.concatenate([first, generator.choice(len(places), count - len(first))])
        repeats = len(kept) - len(np.unique(kept))
        note = f"{len(kept):,} of {len(places):,} rows drawn, as num_samples says"
        changes[note + f"; {repeats:,} of them again" * bool(repeats)] = 0
        places = np.sort(places[kept])
    if not changes:
        return list(parts)
    if not len(places):
        raise DataError(f"{parts[0].source.name}: split {split} leaves none of {counted(total)}")
    ends = np.cumsum([len(part.table) for part in parts])
    by_part = np.split(places, np.searchsorted(places, ends[:-1]))
    drawn = []
    for part, own, before in zip(parts, by_part, [0, *ends[:-1].tolist()], strict=True):
        source = replace(
            part.source,
            rows=len(own),
            changes={**changes, **part.source.changes},
            part=f"{part.source.part} {split} {count or ''}".strip(),
        )
        if len(own):
            table = part.table.take(pa.array(own - before))
            drawn.append(replace(part, source=source, table=table))
    return drawn
