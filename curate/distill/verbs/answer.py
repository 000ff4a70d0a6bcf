"""Answers to questions: one model's, or of two models those to prefer and those to reject."""

from __future__ import annotations

from collections.abc import Mapping

from curate.data.rows import Rows
from curate.data.schema import Turn
from curate.distill.prompts import Prompts, text_of
from curate.distill.requests import OK, Request, Steps, Verb, failed, line_of
from curate.distill.rows import (
    ALPACA,
    PAIRS,
    alpaca,
    answer_text,
    chat,
    field_names,
    fields_of,
    question_of,
)
from curate.errors import UsageError
from curate.parameters.distill import AnswerParams, PreferParams

ALIKE = "equal_answers"
_PROMPT = "answer"


def answer(rows: Rows, params: AnswerParams, models: Mapping[str, str]) -> Verb:
    """Ask every row's question as it is, or in a prompt of the user's."""
    system = text_of(params.system_file, "--system-file")
    fields = {_PROMPT: field_names(rows)}
    prompt = Prompts(fields, params) if params.template else None

    def steps(place: int) -> Steps:
        row = rows[place]
        turns = question_of(row)
        if isinstance(turns, str):
            return [line_of(row, turns)]
        asked = turns
        if prompt:
            filled = prompt.messages(_PROMPT, **fields_of(row, turns))
            asked = [*turns[:-1], Turn("user", filled[-1]["content"])]
        messages = chat(system or row.system, asked)
        samples = range(params.n)
        lines = []
        for reply in (yield [Request.by(params, models["model"], messages, n) for n in samples]):
            value = alpaca(row.system, turns, {"output": answer_text(reply, params)})
            lines.append(line_of(row, reply.status, value, (reply,)))
        return lines

    sha256 = prompt.sha256 if prompt else {}
    return Verb(len(rows), steps, ALPACA, prompts=sha256)


def prefer(rows: Rows, params: PreferParams, models: Mapping[str, str]) -> Verb:
    """Ask both models every row's question."""
    if params.template:
        raise UsageError("--template: questions are asked as they are here; leave it out")

    def steps(place: int) -> Steps:
        row = rows[place]
        turns = question_of(row)
        if isinstance(turns, str):
            return [line_of(row, turns)]
        messages = chat(row.system, turns)
        both = ("chosen", "rejected")
        replies = yield [Request.by(params, models[name], messages) for name in both]
        texts = [answer_text(reply, params) for reply in replies]
        status = failed(replies)
        if status == OK and texts[0] == texts[1]:
            status = ALIKE
        value = alpaca(row.system, turns, dict(zip(both, texts, strict=True)))
        return [line_of(row, status, value, replies)]

    return Verb(len(rows), steps, PAIRS)
