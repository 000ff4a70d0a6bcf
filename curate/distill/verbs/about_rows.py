"""Verbs that ask about each row: its question, its answer, its case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curate.data.canonical import canonical_shape, message
from curate.data.rows import Row, Rows
from curate.data.schema import Shape, Turn
from curate.distill import requests
from curate.distill.answers import ALPACA, FIELDS, answer_text, listed, texts_of
from curate.distill.prompts import Prompts, text_of
from curate.distill.requests import OK, Reply, Request, Steps, Verb, line_of
from curate.errors import UsageError
from curate.models.protocols import Message
from curate.models.row_templates import asked_turns
from curate.parameters import distill as parameters
from curate.parameters.distill import Asking, DialogueParams, PreferParams

PAIRS = Shape(
    "alpaca", "alpaca", {**FIELDS, "chosen": "chosen", "rejected": "rejected"}, ranking=True
)
SHAREGPT = canonical_shape("sft")
ALIKE, SHORT = "equal_answers", "no_dialogue"
CRITERIA, _MOST = ("accuracy", "completeness", "safety", "clarity"), 5
PATIENT, DOCTOR = "patient", "doctor"
_ENDS = ("[结束]", "[END]")  # of a dialogue


def answer(rows: Rows, params: parameters.AnswerParams, models: Mapping[str, str]) -> Verb:
    """Ask every row's question as it is, or in a prompt of the user's."""
    system = text_of(params.system_file, "--system-file")
    prompt = Prompts({"answer": _field_names(rows)}, params) if params.template else None

    def steps(place: int) -> Steps:
        row = rows[place]
        turns = _question_of(row)
        if isinstance(turns, str):
            return [line_of(row, turns)]
        asked = turns
        if prompt:
            filled = prompt.messages("answer", row, **_fields_of(row, turns))
            asked = [*turns[:-1], Turn("user", filled[-1]["content"])]
        messages = _chat(system or row.system, asked)
        samples = range(params.n)
        lines = []
        for reply in (yield [Request.by(params, models["model"], messages, n) for n in samples]):
            value = _alpaca(row.system, turns, {"output": answer_text(reply, params)})
            lines.append(line_of(row, reply.status, value, (reply,)))
        return lines

    return Verb(len(rows), steps, ALPACA, prompts=prompt.sha256 if prompt else {})


def prefer(rows: Rows, params: PreferParams, models: Mapping[str, str]) -> Verb:
    """Ask both models every row's question."""
    if params.template:
        raise UsageError("--template: questions are asked as they are here; leave it out")

    def steps(place: int) -> Steps:
        row = rows[place]
        turns = _question_of(row)
        if isinstance(turns, str):
            return [line_of(row, turns)]
        messages = _chat(row.system, turns)
        both = ("chosen", "rejected")
        replies = yield [Request.by(params, models[name], messages) for name in both]
        texts = [answer_text(reply, params) for reply in replies]
        status = next((reply.status for reply in replies if reply.status != OK), OK)
        if status == OK and texts[0] == texts[1]:
            status = ALIKE
        value = _alpaca(row.system, turns, dict(zip(both, texts, strict=True)))
        return [line_of(row, status, value, replies)]

    return Verb(len(rows), steps, PAIRS)


def rewrite(rows: Rows, params: parameters.RewriteParams, models: Mapping[str, str]) -> Verb:
    """Ask for each answer anew, in the light of those before it; dialogues stay dialogues."""
    prompt, rubric = _by_rubric("rewrite", rows, params, params.rubric)
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
            messages = prompt.messages("rewrite", row, **{**_fields_of(row, turns), **old})
            replies += yield [Request.by(params, models["model"], messages)]
            if replies[-1].status != OK:
                return [line_of(row, replies[-1].status, None, replies)]
            turns.append(Turn("assistant", answer_text(replies[-1], params)))
        if dialogues:
            return [line_of(row, OK, _sharegpt(row.system, turns), replies)]
        value = _alpaca(row.system, turns[:-1], {"output": turns[-1].content})
        return [line_of(row, OK, value, replies)]

    return Verb(len(rows), steps, SHAREGPT if dialogues else ALPACA, prompts=prompt.sha256)


def score(rows: Rows, params: parameters.ScoreParams, models: Mapping[str, str]) -> Verb:
    """Ask for 0 to 5 points by four criteria; `points` is their mean."""
    prompt, rubric = _by_rubric("score", rows, params, params.rubric)

    def steps(place: int) -> Steps:
        row = rows[place]
        if row.flaw:
            return [line_of(row, row.flaw)]
        turns = list(row.turns)
        if turns and turns[-1].role == "assistant":
            turns.pop()
        messages = prompt.messages("score", row, **{**_fields_of(row, turns), "rubric": rubric})
        replies = yield [Request.by(params, models["model"], messages)]
        points = listed(replies[0])
        if isinstance(points, str):
            return [line_of(row, points, None, replies)]
        by_name = points[0][0] if isinstance(points[0][0], dict) else {}
        values = [by_name.get(name, "") for name in CRITERIA]
        numbers = [float(n) for n in values if type(n) in (int, float) and 0 <= n <= _MOST]
        if len(numbers) < len(CRITERIA):
            return [line_of(row, requests.NOT_IN_SCHEMA, None, replies, repaired=points[1])]
        scores = dict(zip(CRITERIA, numbers, strict=True))
        scores["points"] = sum(numbers) / len(numbers)
        return [line_of(row, OK, None, replies, repaired=points[1], scores=scores)]

    columns = ("points", *CRITERIA)
    return Verb(len(rows), steps, None, columns=columns, prompts=prompt.sha256)


def dialogue(rows: Rows, params: DialogueParams, models: Mapping[str, str]) -> Verb:
    """Let one model as patient tell what the row says, and a doctor hear what the patient tells."""
    fields = {PATIENT: ["case", *_field_names(rows)], DOCTOR: ()}
    prompt = Prompts(fields, params, texts_of(rows))

    def steps(place: int) -> Steps:
        row = rows[place]
        case = "\n".join(text for text in (row.system, *(t.content for t in row.turns)) if text)
        turns: list[Turn] = []
        replies: list[Reply] = []
        while len(turns) < 2 * params.turns:
            history = [{"role": turn.role, "content": turn.content} for turn in turns]
            fields_of_row = {**_fields_of(row, []), "case": case, "history": history}
            messages = prompt.messages(PATIENT, row, **fields_of_row)
            replies += yield [Request.by(params, models[PATIENT], messages)]
            if replies[-1].status != OK:
                return [line_of(row, replies[-1].status, None, replies)]
            if any(mark in replies[-1].text for mark in _ENDS):
                break
            turns.append(Turn("user", replies[-1].text))
            messages = _chat(prompt.messages(DOCTOR)[0]["content"], turns)
            replies += yield [Request.by(params, models[DOCTOR], messages)]
            if replies[-1].status != OK:
                return [line_of(row, replies[-1].status, None, replies)]
            turns.append(Turn("assistant", answer_text(replies[-1], params)))
        if not turns:
            return [line_of(row, SHORT, None, replies)]
        return [line_of(row, OK, _sharegpt("", turns), replies)]

    return Verb(len(rows), steps, SHAREGPT, prompts=prompt.sha256)


def _question_of(row: Row) -> list[Turn] | str:
    """Return the turns up to the last question, or why the row asks none."""
    if row.flaw == "lone_surrogate":  # which can be neither sent nor written
        return row.flaw
    turns = asked_turns(row)
    blank = isinstance(turns, list) and not turns[-1].content.strip()
    return requests.NO_QUESTION if blank else turns


def _by_rubric(name: str, rows: Rows, params: Asking, rubric: Any) -> tuple[Prompts, str]:
    prompt = Prompts({name: ["rubric", *_field_names(rows)]}, params, texts_of(rows))
    return prompt, text_of(rubric, "--rubric")


def _fields_of(row: Row, turns: Sequence[Turn]) -> dict[str, Any]:
    """Return what a prompt may say of a row: its own keys, and what every row has."""
    own = row.value if isinstance(row.value, dict) else {}
    plain = {key: text for key, text in own.items() if isinstance(text, str | int | float)}
    before = [{"role": turn.role, "content": turn.content} for turn in turns[:-1]]
    question = turns[-1].content if turns else ""
    every = {"question": question, "answer": row.response, "system": row.system, "history": before}
    return {**plain, **every}


def _field_names(rows: Rows) -> list[str]:
    return list(_fields_of(rows[0], rows[0].turns))


def _chat(system: str, turns: Sequence[Turn]) -> tuple[Message, ...]:
    first = [{"role": "system", "content": system}] if system.strip() else []
    return (*first, *({"role": turn.role, "content": turn.content} for turn in turns))


def _alpaca(system: str, turns: Sequence[Turn], answers: dict[str, str]) -> dict[str, Any]:
    """Return a row that asks what the turns ask; `answers` are its other columns."""
    *before, question = [turn.content for turn in turns]
    row: dict[str, Any] = {"instruction": question, "input": "", **answers}
    if system:
        row["system"] = system
    if before:
        row["history"] = [list(pair) for pair in zip(before[::2], before[1::2], strict=True)]
    return row


def _sharegpt(system: str, turns: Sequence[Turn]) -> dict[str, Any]:
    row: dict[str, Any] = {"conversations": [message(turn.role, turn.content) for turn in turns]}
    return {**row, "system": system} if system else row
