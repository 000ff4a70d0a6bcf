"""Points for rows, as a scores file for `curate select --scores`."""

from __future__ import annotations

from collections.abc import Mapping

from curate.data.rows import Rows
from curate.distill.prompts import Prompts, text_of
from curate.distill.requests import NOT_IN_SCHEMA, OK, Request, Steps, Verb, line_of
from curate.distill.rows import field_names, fields_of, listed, texts_of
from curate.parameters.distill import ScoreParams

CRITERIA = ("accuracy", "completeness", "safety", "clarity")
_PROMPT = "score"
_MOST = 5


def score(rows: Rows, params: ScoreParams, models: Mapping[str, str]) -> Verb:
    """Ask for 0 to 5 points by four criteria; `points` is their mean."""
    prompt = Prompts({_PROMPT: ["rubric", *field_names(rows)]}, params, texts_of(rows))
    rubric = text_of(params.rubric, "--rubric")

    def steps(place: int) -> Steps:
        row = rows[place]
        if row.flaw:
            return [line_of(row, row.flaw)]
        turns = list(row.turns)
        if turns and turns[-1].role == "assistant":
            turns.pop()
        messages = prompt.messages(_PROMPT, **{**fields_of(row, turns), "rubric": rubric})
        replies = yield [Request.by(params, models["model"], messages)]
        points = listed(replies[0])
        if isinstance(points, str):
            return [line_of(row, points, None, replies)]
        given = points[0][0] if isinstance(points[0][0], dict) else {}
        known = [given.get(name, "") for name in CRITERIA]
        numbers = [float(n) for n in known if type(n) in (int, float) and 0 <= n <= _MOST]
        if len(numbers) < len(CRITERIA):
            return [line_of(row, NOT_IN_SCHEMA, None, replies, repaired=points[1])]
        scores = dict(zip(CRITERIA, numbers, strict=True))
        scores["points"] = sum(numbers) / len(numbers)
        return [line_of(row, OK, None, replies, repaired=points[1], scores=scores)]

    columns = ("points", *CRITERIA)
    return Verb(len(rows), steps, None, columns=columns, prompts=prompt.sha256)
