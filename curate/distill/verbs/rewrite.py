"""Answers of rows, rewritten; of a dialogue every one, in the light of those before it."""

from __future__ import annotations

from collections.abc import Mapping

from curate.data.rows import Rows
from curate.data.schema import Turn
from curate.distill.prompts import Prompts, text_of
from curate.distill.requests import OK, Reply, Request, Steps, Verb, line_of
from curate.distill.rows import (
    ALPACA,
    SHAREGPT,
    alpaca,
    answer_text,
    field_names,
    fields_of,
    sharegpt,
    texts_of,
)
from curate.parameters.distill import RewriteParams

_PROMPT = "rewrite"


def rewrite(rows: Rows, params: RewriteParams, models: Mapping[str, str]) -> Verb:
    """Ask for each answer anew, with its question; dialogues stay dialogues."""
    prompt = Prompts({_PROMPT: ["rubric", *field_names(rows)]}, params, texts_of(rows))
    rubric = text_of(params.rubric, "--rubric")
    dialogues = rows.shape.formatting == "sharegpt"

    def steps(place: int) -> Steps:
        row = rows[place]
        if row.flaw or row.parsed.tools or row.parsed.chosen is not None:
            return [line_of(row, row.flaw or "tools_or_pairs")]
        turns: list[Turn] = []
        replies: list[Reply] = []
        for turn in row.turns:
            if turn.role != "assistant":
                turns.append(turn)
                continue
            old = {"answer": turn.content, "rubric": rubric}
            messages = prompt.messages(_PROMPT, **{**fields_of(row, turns), **old})
            replies += yield [Request.by(params, models["model"], messages)]
            if replies[-1].status != OK:
                return [line_of(row, replies[-1].status, None, replies)]
            turns.append(Turn("assistant", answer_text(replies[-1], params)))
        if dialogues:
            return [line_of(row, OK, sharegpt(row.system, turns), replies)]
        value = alpaca(row.system, turns[:-1], {"output": turns[-1].content})
        return [line_of(row, OK, value, replies)]

    shape = SHAREGPT if dialogues else ALPACA
    return Verb(len(rows), steps, shape, prompts=prompt.sha256)
