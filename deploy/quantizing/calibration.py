"""The rows that a model is quantised with, and the others that it is measured on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.data.registry import FILE, read_registry
from curate.errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    from curate.data.rows import Rows

LONGEST = 1024
_LEAST = 8
_BEGINNING = 32
_HELD_OUT = 64
_HELD_OUT_SHARE = 0.25


@dataclass(frozen=True)
class Encoded:
    """A row as token ids.

    Attributes:
        id: Of the row.
        ids: Prompt and response in the model's chat template.
        start: Where the response begins.
        asked: The last question; '' for a document.
    """

    id: str
    ids: tuple[int, ...]
    start: int
    asked: str = ""

    @property
    def question(self) -> tuple[int, ...]:
        """What stands before the response; of a document, its beginning."""
        return self.ids[: self.start] if self.asked else self.ids[:_BEGINNING]


@dataclass(frozen=True)
class Drawn:
    """Rows for quantising, and rows for measuring, none of which is in both.

    Attributes:
        calibration: Rows that quantising looks at.
        held_out: Rows that perplexity is computed on.
        rows: How many the data set has.
        left_out: Reason to number of rows that serve for neither.
    """

    calibration: tuple[Encoded, ...]
    held_out: tuple[Encoded, ...]
    rows: int
    left_out: dict[str, int]

    @property
    def sha256(self) -> str:
        """Of the calibration rows' ids, in their order."""
        return hashlib.sha256(
            json.dumps([each.id for each in self.calibration]).encode()
        ).hexdigest()


def data_file(folder: Path, name: str) -> Path:
    """Return the file of a data set.

    Args:
        folder: Of dataset_info.json.
        name: Of the data set.

    Raises:
        UsageError: There is none of that name.
        DataError: Its file is gone.
    """
    entries = read_registry(folder)
    entry = entries.get(name)
    if not isinstance(entry, dict):
        known = (
            f"{folder} has {', '.join(sorted(entries))}" if entries else f"no {FILE} in {folder}"
        )
        raise UsageError(
            f"--dataset {name}: there is no such data set, {known}.{did_you_mean(name, entries)} "
            "--dataset-dir names the folder that `curate` wrote it to"
        )
    path = folder / str(entry.get("file_name", ""))
    if not path.is_file():
        raise DataError(f"data set '{name}': its file {path} is gone; give another --dataset")
    return path


def check_count(count: int) -> None:
    """Raise if a model cannot be quantised with so few rows.

    Args:
        count: Rows.

    Raises:
        UsageError: They are below 8.
    """
    if count < _LEAST:
        raise UsageError(f"--rows {count}: allowed are {_LEAST} and more; usual are 128 to 512")


def draw(rows: Rows, tokenizer: Any, name: str, count: int, seed: int) -> Drawn:
    """Return rows for quantising and others for measuring.

    A quarter of the usable rows, at most 64, is held out; equal rows count once.

    Args:
        rows: Of the data set.
        tokenizer: The model's.
        name: The model's, for messages.
        count: Rows to quantise with.
        seed: Of the draw.

    Raises:
        DataError: There are too few usable rows.
        UsageError: The count is below 8.
    """
    import numpy as np

    check_count(count)
    reasons: Counter[str] = Counter()
    usable: dict[tuple[int, ...], Encoded] = {}
    for each in _encoded(rows, tokenizer, name, reasons):
        if len(each.ids) > LONGEST:
            reasons["too_long"] += 1
        elif each.ids in usable:
            reasons["repeats"] += 1
        else:
            usable[each.ids] = each
    found = list(usable.values())
    if len(found) < 2 * _LEAST:
        told = ", ".join(f"{reason} {number:,}" for reason, number in sorted(reasons.items()))
        raise DataError(
            f"{len(found)} of {len(rows):,} rows are good for calibration ({told or 'all'}), and "
            f"at least {2 * _LEAST} are needed; give a larger --dataset"
        )
    order = np.random.default_rng(seed).permutation(len(found)).tolist()
    held = min(_HELD_OUT, int(_HELD_OUT_SHARE * len(found)))
    rest = order[held:]
    reasons["not_drawn"] += max(0, len(rest) - count)
    return Drawn(
        tuple(found[place] for place in rest[:count]),
        tuple(found[place] for place in order[:held]),
        len(rows),
        {reason: number for reason, number in sorted(reasons.items()) if number},
    )


def _encoded(rows: Rows, tokenizer: Any, name: str, reasons: Counter[str]) -> Iterator[Encoded]:
    if rows.shape.kind == "pretraining":
        yield from _documents(rows, tokenizer, reasons)
        return
    from curate.models.encoder import HFEncoder
    from curate.models.generation.prompt import ends, first_token, render
    from deploy.compare.prompts import prompts_of

    encoder = HFEncoder(tokenizer, name)
    stops = ends(tokenizer, encoder)
    end = tokenizer.eos_token_id if tokenizer.eos_token_id in stops else min(stops, default=None)
    found = prompts_of(rows)
    reasons.update(found.left_out)
    for each in found.prompts:
        if not each.reference:
            reasons["no_answer"] += 1
            continue
        text = render(encoder, each.messages)
        prompt, response = encoder.encode([text, each.reference])
        lead = [*first_token(tokenizer, encoder, text), *prompt]
        tail = [] if end is None else [end]
        yield Encoded(each.id, (*lead, *response, *tail), len(lead), each.turns[-1].content)


def _documents(rows: Rows, tokenizer: Any, reasons: Counter[str]) -> Iterator[Encoded]:
    """Yield the beginnings of documents: all but the first token is what has to be told."""
    for row in rows:
        ids: Sequence[int] = [] if row.flaw else tokenizer(row.turns[0].content)["input_ids"]
        if len(ids) < 2:
            reasons[row.flaw or "too_short"] += 1
        else:
            yield Encoded(row.id, tuple(ids[:LONGEST]), 1)
