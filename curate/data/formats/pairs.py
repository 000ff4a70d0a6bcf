"""Two answers to compare: whole dialogues, two outputs, or one of two that is told to be better."""

from __future__ import annotations

import itertools
from typing import Any

from curate.data.canonical import parse
from curate.data.formats import ITEMS, LISTS
from curate.data.formats.dialogues import Dialogue, said_in
from curate.data.formats.published import Row, asked_in, dialogue_format, first_text, of_messages
from curate.data.row_keys import ASKED, are_messages
from curate.data.schema import Parsed, Shape, Turn

_PAIRS = (
    *(("chosen", "rejected"), ("chosen_messages", "rejected_messages")),
    *(("messages", "rejected_messages"), ("preferred_output", "non_preferred_output")),
    *(("chosen_response", "rejected_response"), ("edited_response", "original_response")),
    ("good_edited_response", "bad_edited_response"),
)
_ASKS = (*ASKED, "history", "context")
_ANSWERS = (
    *("response", "answer", "output", "completion", "conversation", "human_ref", "reply"),
    *("summary", "candidate", "model_response", "generation", "assistant"),
)
_ENDS = (("_a", "_b"), ("_0", "_1"), ("_1", "_2"), ("0", "1"), ("1", "2"), ("a", "b"))
_BETTER = (
    *("winner", "preference", "preferred", "better", "best", "better_response_id", "chosen"),
    *("choice", "chosen_idx", "preferred_response", "label", "labels", "vote"),
)
_SIGNED = ("overall_preference", "preference_strength")  # below 0: the first; HelpSteer's
_SCORES = ("score", "rating", "reward", "overall_score")
_NONE_BETTER = "rows in which no answer is told to be better, so without a pair"


def _side(value: Any, asked: bool) -> Parsed | None:
    """Return a dialogue or answer; a bare text is one where messages were asked."""
    value = [value] if isinstance(value, dict) else value
    parsed = of_messages(value) or said_in(value)
    if parsed is None and asked and isinstance(value, str):
        return Parsed(turns=(Turn("assistant", value),))
    return parsed if parsed and parsed.turns else None


def _asked(row: Row) -> tuple[Parsed, str] | None:
    """Return what two answers are to, where it is messages, or a text to be gone on with."""
    if asked := asked_in(row, ("prompt", "input", "request", "question", "context")):
        return asked
    for name in ("prompt", "question", "instruction"):
        parsed = said_in(row.get(name))
        if parsed and len(parsed.turns) > 1 and parsed.turns[-1] == Turn("assistant", ""):
            return parsed._replace(turns=parsed.turns[:-1]), name
    return None


def _with_a_worse(row: Row) -> Dialogue | None:
    """Read messages with an answer, and a worse answer beside them."""
    worse, whole = row.get("rejected_response"), of_messages(row.get("messages"))
    if not isinstance(worse, str) or whole is None or len(whole.turns) < 2:
        return None
    other = whole._replace(turns=(*whole.turns[:-1], Turn("assistant", worse)))
    parsed = _compared(row, whole, other, None)
    return parsed and Dialogue(parsed, ("messages", "rejected_response"))


def _pair(row: Row) -> Dialogue | None:
    if with_worse := _with_a_worse(row):
        return with_worse
    asked, key = _asked(row) or (None, "")
    for names in _PAIRS:
        chosen, rejected = (_side(row.get(name), bool(asked)) for name in names)
        if chosen and rejected:
            break
    else:
        return None
    beside = [k for k, value in row.items() if are_messages(value) and k not in (*names, key)]
    if beside and len(chosen.turns) == 1 and not asked:
        return None  # messages with two responses to them
    parsed = _compared(row, chosen, rejected, asked)
    return parsed and Dialogue(parsed, (*names, key or "prompt"))


def _compared(row: Row, chosen: Parsed, rejected: Parsed, asked: Parsed | None) -> Parsed | None:
    if {chosen.turns[-1].role, rejected.turns[-1].role} != {"assistant"}:
        return None
    before = chosen.turns[:-1]
    if asked and before[: len(asked.turns)] != asked.turns:
        before = (*asked.turns, *before)
    elif not before:
        key = first_text(row, *_ASKS)
        before = (Turn("user", row[key]),) if row.get(key) else ()
    return Parsed(
        system=chosen.system or (asked.system if asked else ""),
        turns=before,
        chosen=chosen.turns[-1].content,
        rejected=rejected.turns[-1].content,
        tools=asked.tools if asked else "",
        flaw="" if chosen.turns[:-1] == rejected.turns[:-1] else "prompts_differ",
    )


def _listed_responses(row: Row) -> Dialogue | None:
    """Read alpaca's older preferences: an output that lists the better and the worse."""
    output = row.get("output")
    if not isinstance(output, list) or [type(text) for text in output] != [str, str]:
        return None
    columns = {"prompt": "instruction", "query": "input", "history": "history"}
    columns |= {"chosen": "chosen", "rejected": "rejected", "system": "system"}
    pair = {"chosen": output[0], "rejected": output[1]}
    parsed = parse(row | pair, Shape("alpaca", "alpaca", columns, ranking=True))
    return Dialogue(parsed, ("instruction", "input", "output", "history", "system"))


def _better(row: Row, keys: tuple[str, str], ends: tuple[str, str]) -> int | None:
    """Return which of two answers is told to be better: 0 or 1, -1 for neither; None untold."""
    for name in _BETTER:
        value = row.get(name)
        if value is None or isinstance(value, bool | list | dict):
            continue
        if name.startswith("label") and ends[0] != "_0" and not keys[0].startswith("human_ref"):
            continue  # a class of two sentences
        word = str(value).strip().lower()
        end = [mark.strip("_") for mark in ends]
        if ends[0].endswith("a") and word in ("0", "1"):  # SHP: 1 is the first
            return 1 - int(word) if keys[0].startswith("human_ref") else None
        for place in (0, 1):
            if word in (end[place], keys[place].lower()) or word.endswith(ends[place]):
                return place
        return -1
    for name in _SIGNED:
        if isinstance(row.get(name), int | float):
            return -1 if row[name] == 0 else int(row[name] > 0)
    for score in _SCORES:
        first, second = (row.get(score + mark) for mark in ends)
        if isinstance(first, int | float) and isinstance(second, int | float):
            return -1 if first == second else int(second > first)
    return None


def _told_better(row: Row) -> Dialogue | None:
    for ends, stem in itertools.product(_ENDS, _ANSWERS):
        first, second = stem + ends[0], stem + ends[1]
        if not (row.get(first) and row.get(second)):
            continue
        better = _better(row, (first, second), ends)
        sides = [_side(row[name], True) for name in (first, second)]
        if better is None or not all(sides):
            continue
        chosen, rejected = (sides[max(better, 0)], sides[1 - max(better, 0)])
        asked = asked_in(row)
        if not chosen or not rejected:
            return None
        question = row.get("question")
        if isinstance(question, dict) and isinstance(question.get("full_text"), str):
            row = row | {"question": question["full_text"]}
        parsed = _compared(row, chosen, rejected, asked[0] if asked else None)
        if parsed is None or not parsed.turns:
            return None
        used = (first, second, asked[1] if asked else first_text(row, *_ASKS), *_BETTER)
        if better < 0:
            return Dialogue(parsed._replace(rejected=""), used, (_NONE_BETTER,))
        return Dialogue(parsed, used)
    return None


FORMATS = (
    dialogue_format("pairs", "chosen and rejected: whole dialogues, as messages or Human: … "
            "Assistant: …", "pairs of dialogues", ITEMS, _pair),
    dialogue_format("listed_pairs", "instruction, output: a list of the better and the worse",
            "alpaca with two outputs", LISTS, _listed_responses),
    dialogue_format("told_better", "prompt, response_a, response_b, and winner or preference (or "
            "scores of both)", "two responses and which is better", ITEMS, _told_better),
)  # fmt: skip
