"""ChatHome's mixture: all domain rows once, and exactly k times as many general rows.

Source: arXiv 2307.15290, tables 3 and 4. Their figures come from single runs and, for the domain,
113 questions; they do not rise or fall with the ratio. So 1:5 is where a search begins.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.choices.selection import Selection
from curate.data.read import rows_of, sides_of
from curate.data.rows import Row, Rows
from curate.errors import DataError, UsageError
from curate.mixture.common_shape import common_shape, text_of_row
from curate.mixture.draw import Pool, heaps_of, pool_of
from curate.mixture.mixed import Mixed
from curate.mixture.plan import parse_ratios, plan_rows, plan_tokens
from curate.mixture.spec import NAME, SIDES, MixSource, Mixture
from curate.models.protocols import TextEncoder
from curate.models.resolve import fingerprint, resolve
from curate.models.row_templates import TEMPLATES
from curate.models.text_tokenizer import HFEncoder, load_tokenizer
from curate.parameters.mix import MixParams
from curate.recipes.budgets import tokens_of
from curate.recipes.model_scores import say_if_fetched
from curate.recipes.self_answers import about_answers, self_answered
from curate.scorers.response_tokens import ResponseTokens, token_counts, tokens_a_row

__all__ = ["NAME", "mix", "mixture_of", "one"]

_ONE = (str, os.PathLike, Rows, Selection)
Given = str | os.PathLike[str] | Rows | Selection | MixSource


def mixture_of(
    domain: Given | Sequence[Given] = (),
    general: Given | Sequence[Given] = (),
    ratio: str | Sequence[str] = "1:5",
    params: MixParams | None = None,
) -> Mixture:
    """Return a mixture of what was given."""
    sides = [tuple(map(_source, sides_of(side))) for side in (domain, general)]
    options = asdict(params or MixParams())
    return Mixture(domain=sides[0], general=sides[1], ratios=parse_ratios(ratio), **options)


def _source(given: Any) -> MixSource:
    if isinstance(given, MixSource):
        return given
    return MixSource(given if isinstance(given, _ONE) else rows_of(given))


def mix(mixture: Mixture, read: Callable[[Pool], None] | None = None) -> list[Mixed]:
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
    own_answers: dict[str, Any] = {}
    if mixture.self_answers:
        mixture, own_answers = self_answered(mixture, mix)
    pool = pool_of(mixture)
    if read:
        read(pool)
    common = common_shape([part.rows for part in pool.parts], mixture.stage)
    by_tokens = mixture.by == "tokens"
    tokens, framing = _tokens(pool, mixture) if by_tokens else (None, "")
    own = [tokens_of(part.rows, mixture.model if by_tokens else None) for part in pool.parts]
    counts = np.concatenate([each.counts for each in own])
    domain, general = (heaps_of(pool, mixture, side, tokens) for side in SIDES)
    plan_by = plan_rows if tokens is None else plan_tokens
    try:
        plans = plan_by(domain, general, mixture.ratios, mixture.shortage)
    except DataError as error:
        why = "; ".join(pool.left_out_lines())
        raise DataError(f"{error}{'. ' * bool(why)}{why}") from error
    return [
        Mixed(
            mixture=mixture,
            ratio=ratio,
            pool=pool,
            times=pool.times([*domain, *general], [*plan.domain, *plan.general]),
            common=common,
            responses=ResponseTokens(counts, own[0].by),
            tokens=tokens,
            notes=(*filter(None, (common.note, framing)), *plan.notes, *about_answers(own_answers)),
            self_answers=own_answers,
            seconds=time.monotonic() - started,
        )
        for ratio, plan in zip(mixture.ratios, plans, strict=True)
    ]


def one(mixed: list[Mixed]) -> Mixed:
    """Return the only mixture; UsageError if there are several."""
    if len(mixed) != 1:
        asked = ", ".join(str(mixture.ratio) for mixture in mixed)
        raise UsageError(f"ratio {asked}: give one ratio here, and call it again for the next")
    return mixed[0]


def _tokens(pool: Pool, mixture: Mixture) -> tuple[NDArray[np.int32], str]:
    """Return the tokens of every row of the pool, and what cannot be known of their framing."""
    say_if_fetched(mixture.model)
    files = resolve(mixture.model)
    encoder = HFEncoder(load_tokenizer(files), files.name)
    template = "chat" if encoder.has_chat_template else "none"
    mark = fingerprint(files.folder)
    counts = np.zeros(len(pool.order), dtype=np.int32)
    as_text, note = mixture.stage == "pt", ""
    for part in pool.parts:
        if not as_text and not note:
            sound = (row for row in part.rows if not row.flaw)
            notes = (TEMPLATES[template](row, encoder).note for row in itertools.islice(sound, 16))
            note = next(filter(None, notes), "")
        counts[part.span] = count_tokens(part.rows, as_text, encoder, template, mark)
    return counts, note


def count_tokens(
    rows: Rows, as_text: bool, encoder: TextEncoder, template: str, model: str
) -> NDArray[np.int64]:
    """Return the tokens of every row, (n,): prompt and response, and one for the end of a text.

    They are counted once for the same rows and tokenizer; `model` is its fingerprint.
    """
    count = partial(_framed, encoder, "" if as_text else template)
    return token_counts(rows, count, ("framed 3", as_text, template, model))


def _framed(encoder: TextEncoder, template: str, rows: list[Row]) -> NDArray[np.int64]:
    """Return the tokens that are trained on: as a template frames them, as texts without one."""

    def pieces(row: Row) -> list[str]:
        if not template:
            return [text_of_row(row.system, [turn.content for turn in row.turns])]
        rendered = TEMPLATES[template](row, encoder)
        if rendered.joined:
            return [*rendered.leads, *rendered.responses]
        # Each lead is all that comes before its response.
        return [*rendered.leads[-1:], *rendered.responses[-1:]]

    texts = [pieces(row) for row in rows]
    return 1 + tokens_a_row(texts, lambda every: [len(ids) for ids in encoder.encode(every)])
