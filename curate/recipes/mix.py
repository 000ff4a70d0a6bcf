"""ChatHome's mixture: all domain rows once, and exactly k times as many general rows.

Source: arXiv 2307.15290, tables 3 and 4. Their figures come from single runs and, for the domain,
113 questions; they do not rise or fall with the ratio. So 1:5 is where a search begins.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.choices.selection import Selection
from curate.data.canonical import canonical_row, canonical_shape
from curate.data.read import read as read_rows
from curate.data.read import rows_of, sides_of, sources_as_dicts
from curate.data.rows import Row, Rows
from curate.data.schema import Turn
from curate.engine import open_engine
from curate.errors import DataError, UsageError
from curate.mixture.common_shape import common_shape, text_of_row
from curate.mixture.draw import Pool, pool_of
from curate.mixture.mixed import Mixed
from curate.mixture.plan import parse_ratios, plan_rows, plan_tokens
from curate.mixture.spec import NAME, SIDES, MixSource, Mixture
from curate.models.protocols import TextEncoder
from curate.models.recipe import ModelRecipe
from curate.models.resolve import fingerprint, resolve
from curate.models.row_templates import TEMPLATES
from curate.models.text_tokenizer import HFEncoder, load_tokenizer
from curate.parameters.mix import MixParams
from curate.recipes.budgets import tokens_of
from curate.recipes.model_scores import called, leaving_out, say_if_fetched
from curate.scorers.contract import OK
from curate.scorers.necessity import answers
from curate.scorers.response_tokens import ResponseTokens, token_counts, tokens_a_row

__all__ = ["NAME", "mix", "mixture_of", "one"]

_ONE = (str, os.PathLike, Rows, Selection)
_MOST = 512  # tokens; what is cut off there is no answer to learn from
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
        DataError: A source cannot be read or used, or there are too few rows.
        ModelError: The tokenizer is not to be had.

    Example:
        >>> mix(mixture_of("huatuo.json", "alpaca_zh.json", "1:5"))
        [mix 1:5: 360 rows, domain 60 : general 300 rows = 1:5]
    """
    started = time.monotonic()
    own_answers: dict[str, Any] = {}
    if mixture.self_answers:
        mixture, own_answers = _self_answered(mixture)
    pool = pool_of(mixture)
    if read:
        read(pool)
    common = common_shape([part.rows for part in pool.parts], mixture.stage)
    by_tokens = mixture.by == "tokens"
    tokens, framing = _tokens(pool, mixture) if by_tokens else (None, "")
    own = [tokens_of(part.rows, mixture.model if by_tokens else None) for part in pool.parts]
    counts = np.concatenate([each.counts for each in own])
    domain, general = (pool.side(side) for side in SIDES)
    asked, first = (mixture.ratios, mixture.shortage), (common.note, framing)
    try:
        if tokens is None:
            plans = plan_rows(pool.usable(domain), pool.usable(general), *asked)
        else:
            sides = pool.in_order(domain, tokens), pool.in_order(general, tokens)
            plans = plan_tokens(*sides, *asked)
    except DataError as error:
        why = "; ".join(pool.left_out_lines())
        raise DataError(f"{error}{'. ' * bool(why)}{why}") from error
    return [
        Mixed(
            mixture=mixture,
            ratio=ratio,
            pool=pool,
            times=pool.times(plan),
            common=common,
            responses=ResponseTokens(counts, own[0].by),
            tokens=tokens,
            notes=(*filter(None, first), *plan.notes, *_about_answers(own_answers)),
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


# General prompts answered by the model that will be trained


def _self_answered(mixture: Mixture) -> tuple[Mixture, dict[str, Any]]:
    """Return a mixture whose general rows are those drawn, with the model's own answers.

    So it forgets less. Rows are drawn as without; those that are drawn are asked, greedily, and
    where there is no answer, or none that ends, another row is drawn. The second is what the
    manifest says of it.
    """
    say_if_fetched(mixture.self_answers)
    engine = open_engine()
    model = engine.load(ModelRecipe(kind="generator", name=mixture.self_answers))
    given: list[Rows] = []
    for source in mixture.general:
        rows = source.rows.kept if isinstance(source.rows, Selection) else source.rows
        given.append(rows if isinstance(rows, Rows) else source.read())
    asked: dict[str, tuple[str, str]] = {}  # by id: status and answer
    while True:
        without = [row_id for row_id, (status, _) in asked.items() if status != OK]
        sources = [
            replace(source, rows=leaving_out(rows, np.isin(rows.ids, without), "no_self_answer"))
            for source, rows in zip(mixture.general, given, strict=True)
        ]
        ratios = mix(replace(mixture, general=tuple(sources), self_answers=""))
        pool, taken = ratios[0].pool, np.any([each.times > 0 for each in ratios], axis=0)
        general = [part for part in pool.parts if part.side == "general"]
        drawn = {row_id for part in general for row_id in part.rows.ids[taken[part.span]].tolist()}
        if drawn <= asked.keys():
            break
        for rows in given:
            places = np.flatnonzero(np.isin(rows.ids, sorted(drawn - asked.keys())))
            replies = answers(rows, places, _MOST, model, engine)
            for place in places.tolist():
                asked[rows.ids[place]] = replies.status[place], replies.texts[place] or ""
    if not drawn:
        raise DataError("no general row is drawn, so --self-answers has none to answer")
    told = {
        "model": called(mixture.self_answers),
        "fingerprint": model.fingerprint,
        "decoding": "greedy",
        "max_new_tokens": _MOST,
        "asked": dict(Counter(status for status, _ in asked.values())),
        "left_out": {part.source.name: pool.left_out(part) for part in general},
        "prompts_of": [each for rows in given for each in sources_as_dicts(rows)],
    }
    sources = [
        replace(source, rows=_answered(rows, drawn, asked), limit=None)
        for source, rows in zip(mixture.general, given, strict=True)
        if drawn.intersection(rows.ids)
    ]
    return replace(mixture, general=tuple(sources)), told


def _answered(rows: Rows, drawn: set[str], asked: Mapping[str, tuple[str, str]]) -> Rows:
    """Return the rows that are drawn with the model's answers as responses."""
    chosen = [row for row in rows if row.id in drawn]
    if all(len(row.turns) == 2 and not row.system for row in chosen):  # noqa: PLR2004
        values = [
            {"instruction": row.prompt, "input": "", "output": asked[row.id][1]} for row in chosen
        ]
    else:
        shape, values = canonical_shape("sft"), []
        for row in chosen:
            turns = (*row.turns[:-1], Turn("assistant", asked[row.id][1]))
            parsed = row.parsed._replace(turns=turns, input="")
            values.append(canonical_row(parsed, row.value, shape, rows.shape))
    answered = read_rows(values)
    names = ", ".join(source.name for source in rows.sources)
    named = [replace(source, name=f"{names}, answered") for source in answered.sources]
    return replace(answered, sources=tuple(named))


def _about_answers(told: Mapping[str, Any]) -> list[str]:
    """Return what a user should know of the answers, a sentence each."""
    if not told:
        return []
    notes = [f"{told['asked'].get(OK, 0):,} general prompts are answered by {told['model']} itself"]
    failed = {status: rows for status, rows in told["asked"].items() if status != OK}
    if failed:
        counts = ", ".join(f"{rows:,} {status}" for status, rows in sorted(failed.items()))
        notes.append(
            f"general rows without an answer that ends, others are drawn for them: {counts}"
        )
    for name, reasons in told["left_out"].items():
        if others := {why: rows for why, rows in reasons.items() if why != "no_self_answer"}:
            counts = ", ".join(f"{rows:,} {why}" for why, rows in others.items())
            notes.append(f"{name}: rows that never enter: {counts}")
    return notes
