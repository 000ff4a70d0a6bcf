"""General prompts answered by the model that will be trained, so that it forgets less.

Rows are drawn as without; those that are drawn are asked, and the others stay unasked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from curate.choices.selection import Selection
from curate.data.canonical import canonical_row, canonical_shape
from curate.data.read import read, sources_as_dicts
from curate.data.rows import Rows
from curate.data.schema import Turn
from curate.engine import open_engine
from curate.errors import DataError
from curate.mixture.mixed import Mixed
from curate.mixture.spec import Mixture
from curate.models.recipe import ModelRecipe
from curate.recipes.model_scores import called, leaving_out, say_if_fetched
from curate.scorers.contract import OK
from curate.scorers.necessity import AnswerParams, answers

_MOST = 512  # tokens; what is cut off there is no answer to learn from


def self_answered(
    mixture: Mixture, mixed: Callable[[Mixture], Sequence[Mixed]]
) -> tuple[Mixture, dict[str, Any]]:
    """Return a mixture whose general rows are those drawn, with the model's own answers.

    Answers are greedy. Where there is none, or none that ends, another row is drawn.

    `mixed` mixes; what it draws is answered. The second of both is what the manifest says of it.
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
        ratios = mixed(replace(mixture, general=tuple(sources), self_answers=""))
        pool, taken = ratios[0].pool, np.any([each.times > 0 for each in ratios], axis=0)
        general = [part for part in pool.parts if part.side == "general"]
        drawn = {row_id for part in general for row_id in part.rows.ids[taken[part.span]].tolist()}
        if drawn <= asked.keys():
            break
        for rows in given:
            places = np.flatnonzero(np.isin(rows.ids, sorted(drawn - asked.keys())))
            replies = answers(rows, places, AnswerParams(_MOST), model, engine)
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
    answered = read(values)
    names = ", ".join(source.name for source in rows.sources)
    named = [replace(source, name=f"{names}, answered") for source in answered.sources]
    return replace(answered, sources=tuple(named))


def about_answers(told: Mapping[str, Any]) -> list[str]:
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
