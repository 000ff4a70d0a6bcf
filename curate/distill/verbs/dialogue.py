"""Dialogues: one model is the patient of a case, another the doctor."""

from __future__ import annotations

from collections.abc import Mapping

from curate.data.rows import Rows
from curate.data.schema import Turn
from curate.distill.prompts import Prompts
from curate.distill.requests import OK, Reply, Request, Steps, Verb, line_of
from curate.distill.rows import (
    SHAREGPT,
    answer_text,
    chat,
    field_names,
    fields_of,
    sharegpt,
    texts_of,
)
from curate.parameters.distill import DialogueParams

PATIENT, DOCTOR = "patient", "doctor"
SHORT = "no_dialogue"
_ENDS = ("[结束]", "[END]")


def dialogue(rows: Rows, params: DialogueParams, models: Mapping[str, str]) -> Verb:
    """Let the patient tell what the row says, and the doctor hear what the patient tells."""
    fields = {PATIENT: ["case", *field_names(rows)], DOCTOR: ()}
    prompt = Prompts(fields, params, texts_of(rows))

    def steps(place: int) -> Steps:
        row = rows[place]
        case = "\n".join(text for text in (row.system, *(t.content for t in row.turns)) if text)
        turns: list[Turn] = []
        replies: list[Reply] = []
        while len(turns) < 2 * params.turns:
            said = [{"role": turn.role, "content": turn.content} for turn in turns]
            known = {**fields_of(row, []), "case": case, "history": said}
            messages = prompt.messages(PATIENT, **known)
            replies += yield [Request.by(params, models[PATIENT], messages)]
            if replies[-1].status != OK:
                return [line_of(row, replies[-1].status, None, replies)]
            if any(mark in replies[-1].text for mark in _ENDS):
                break
            turns.append(Turn("user", replies[-1].text))
            messages = chat(prompt.messages(DOCTOR)[0]["content"], turns)
            replies += yield [Request.by(params, models[DOCTOR], messages)]
            if replies[-1].status != OK:
                return [line_of(row, replies[-1].status, None, replies)]
            turns.append(Turn("assistant", answer_text(replies[-1], params)))
        if not turns:
            return [line_of(row, SHORT, None, replies)]
        return [line_of(row, OK, sharegpt("", turns), replies)]

    return Verb(len(rows), steps, SHAREGPT, prompts=prompt.sha256)
