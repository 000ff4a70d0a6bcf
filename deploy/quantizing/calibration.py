"""The rows that a model is quantised with, and others to measure it on."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from curate.errors import DataError, UsageError

if TYPE_CHECKING:
    from curate.data.rows import Rows

_LEAST = 8
_BEGINNING = 32  # tokens of what is asked of documents
_HELD_OUT, _HELD_OUT_SHARE = 64, 0.25  # rows at most, of the usable ones


@dataclass(frozen=True)
class QuantiseParams:
    bits: Annotated[int, Option(metavar="4|8", help="For each weight.")] = 4
    rows: Annotated[int, Option(help="To quantise with, at most.")] = 128
    max_length: Annotated[
        int, Option(help="Tokens of a row; longer ones are left out, documents cut.", min=64)
    ] = 1024
    shard_size: Annotated[
        float | None, Option(help="GB of a file.", min=0.1, show_default="GPTQModel's, 4")
    ] = None
    group_size: Annotated[
        int | None, Option(help="Weights that share a scale.", show_default="largest that fits")
    ] = None
    seed: Annotated[int, Option(help="Of the draw of rows.", min=0)] = 0

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise UsageError(f"--bits {self.bits}: allowed are 4 and 8; fewer lose too much")
        if self.rows < _LEAST:
            raise UsageError(f"--rows {self.rows}: allowed are {_LEAST} and more; usual are 128")
        if self.shard_size is not None and not math.isfinite(self.shard_size):
            raise UsageError(f"--shard-size {self.shard_size}: give GB, such as 2")


@dataclass(frozen=True)
class Encoded:
    """A row as token ids, where its response starts, and the last question, '' for a document."""

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
    """Rows for quantising, and rows for measuring, none of which is in both; others by reason."""

    calibration: tuple[Encoded, ...]
    held_out: tuple[Encoded, ...]
    rows: int
    left_out: dict[str, int]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps([row.id for row in self.calibration]).encode()).hexdigest()


def draw(
    sets: Sequence[Rows], tokenizer: Any, name: str, count: int, seed: int, longest: int = 1024
) -> Drawn:
    """Return at most `count` rows for quantising and others for measuring; equal ones are one."""
    import numpy as np

    reasons: Counter[str] = Counter()
    distinct: dict[tuple[int, ...], Encoded] = {}
    encoded = (
        _documents(rows, tokenizer, reasons, longest)
        if rows.shape.kind == "pretraining"
        else _conversations(rows, tokenizer, name, reasons)
        for rows in sets
    )
    for row in chain.from_iterable(encoded):
        if len(row.ids) > longest:
            reasons["too_long"] += 1
        elif row.ids in distinct:
            reasons["repeats"] += 1
        else:
            distinct[row.ids] = row
    usable, whole = list(distinct.values()), sum(map(len, sets))
    if len(usable) < 2 * _LEAST:
        why = ", ".join(f"{reason} {number:,}" for reason, number in sorted(reasons.items()))
        good = f"{len(usable)} of {whole:,} rows are good for calibration ({why or 'all'})"
        raise DataError(f"{good}, and at least {2 * _LEAST} are needed; give a larger --dataset")
    order = np.random.default_rng(seed).permutation(len(usable)).tolist()
    held = min(_HELD_OUT, int(_HELD_OUT_SHARE * len(usable)))
    reasons["not_drawn"] += max(0, len(usable) - held - count)
    return Drawn(
        calibration=tuple(usable[place] for place in order[held : held + count]),
        held_out=tuple(usable[place] for place in order[:held]),
        rows=whole,
        left_out={reason: number for reason, number in sorted(reasons.items()) if number},
    )


def _conversations(
    rows: Rows, tokenizer: Any, name: str, reasons: Counter[str]
) -> Iterator[Encoded]:
    from curate.models.text_tokenizer import HFEncoder, ends, prompt_ids
    from deploy.compare.asking import prompts_of

    encoder = HFEncoder(tokenizer, name)
    stops = ends(encoder)
    end = tokenizer.eos_token_id if tokenizer.eos_token_id in stops else min(stops, default=None)
    tail = [] if end is None else [end]
    prompts = prompts_of(rows)
    reasons.update(prompts.left_out)
    for prompt in prompts.prompts:
        if not prompt.reference:
            reasons["no_answer"] += 1
            continue
        [lead] = prompt_ids(encoder, [prompt.messages])
        [response] = encoder.encode([prompt.reference])
        yield Encoded(prompt.id, (*lead, *response, *tail), len(lead), prompt.turns[-1].content)


def _documents(
    rows: Rows, tokenizer: Any, reasons: Counter[str], longest: int
) -> Iterator[Encoded]:
    """Yield the beginnings of documents: all but the first token is what has to be foretold."""
    for row in rows:
        ids = [] if row.flaw else tokenizer(row.turns[0].content)["input_ids"]
        if len(ids) < 2:
            reasons[row.flaw or "too_short"] += 1
        else:
            yield Encoded(row.id, tuple(ids[:longest]), 1)
