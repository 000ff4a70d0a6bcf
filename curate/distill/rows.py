"""From rows to what they ask, and from answers to rows that LLaMA-Factory takes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from curate.data.canonical import canonical_shape
from curate.data.canonical import message as message_of
from curate.data.rows import Row, Rows
from curate.data.schema import MEDIA, Shape, Turn
from curate.distill.requests import BAD_JSON, NO_QUESTION, NOT_IN_SCHEMA, OK, Reply
from curate.models.protocols import Message
from curate.parameters.distill import Asking

_FIELDS = {"prompt": "instruction", "query": "input", "system": "system", "history": "history"}
ALPACA = Shape("alpaca", "alpaca", {**_FIELDS, "response": "output"})
PAIRS = Shape(
    "alpaca", "alpaca", {**_FIELDS, "chosen": "chosen", "rejected": "rejected"}, ranking=True
)
SHAREGPT = canonical_shape("sft")
REPEAT = "near_duplicate"
_FENCED = re.compile(r"```(?:json)?\s*(.*?)\s*```\s*\Z", re.S | re.I)
_NEAR, _NGRAM = 0.7, 5  # share of common n-grams, characters of one


def question_of(row: Row) -> list[Turn] | str:
    """Return the turns up to the last question, or why the row asks none."""
    if row.flaw == "lone_surrogate":  # which can be neither sent nor written
        return row.flaw
    if isinstance(row.value, dict) and any(row.value.get(column) for column in MEDIA):
        return "media"
    turns = list(row.turns)
    if row.parsed.chosen is None and turns and turns[-1].role == "assistant":
        turns.pop()
    roles = [turn.role for turn in turns]
    if row.parsed.tools or {"function", "observation"} & set(roles):
        return "tools"
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        return row.flaw or "bad_turn_order"
    return turns if turns[-1].content.strip() else NO_QUESTION


def fields_of(row: Row, turns: Sequence[Turn]) -> dict[str, Any]:
    """Return what a prompt may say of a row: its own keys, and what every row has."""
    own = row.value if isinstance(row.value, dict) else {}
    plain = {key: text for key, text in own.items() if isinstance(text, str | int | float)}
    before = [{"role": turn.role, "content": turn.content} for turn in turns[:-1]]
    question = turns[-1].content if turns else ""
    every = {"question": question, "answer": row.response, "system": row.system, "history": before}
    return {**plain, **every}


def field_names(rows: Rows) -> list[str]:
    """Return the names of what a prompt may say of rows."""
    first = rows[0]
    return list(fields_of(first, first.turns))


def chat(system: str, turns: Sequence[Turn]) -> tuple[Message, ...]:
    """Return turns as a server takes them."""
    first = [{"role": "system", "content": system}] if system.strip() else []
    return (*first, *({"role": turn.role, "content": turn.content} for turn in turns))


def answer_text(reply: Reply, params: Asking) -> str:
    """Return an answer, with what was thought before it if that is kept."""
    thinking = reply.completion.thinking if reply.completion else ""
    if not (params.keep_thinking and thinking):
        return reply.text
    return f"<think>\n{thinking}\n</think>\n\n{reply.text}"


def texts_of(rows: Rows) -> Iterator[str]:
    """Yield what rows ask and answer."""
    yield from (f"{row.prompt}\n{row.response}" for row in rows)


def alpaca(system: str, turns: Sequence[Turn], answers: dict[str, str]) -> dict[str, Any]:
    """Return a row that asks what the turns ask; `answers` are its other columns."""
    *before, question = [turn.content for turn in turns]
    row: dict[str, Any] = {"instruction": question, "input": "", **answers}
    if system:
        row["system"] = system
    if before:
        row["history"] = [list(pair) for pair in zip(before[::2], before[1::2], strict=True)]
    return row


def sharegpt(system: str, turns: Sequence[Turn]) -> dict[str, Any]:
    """Return a dialogue as a row."""
    row: dict[str, Any] = {"conversations": [message_of(turn.role, turn.content) for turn in turns]}
    return {**row, "system": system} if system else row


class Known:
    """Texts that were seen, by their n-grams."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._sizes: list[int] = []
        self._where: dict[str, list[int]] = {}
        for text in texts:
            self.add(text)

    def add(self, text: str) -> bool:
        """Note a text; return whether none before it is nearly the same."""
        folded = "".join(text.lower().split())
        grams = {folded[at : at + _NGRAM] for at in range(max(1, len(folded) - _NGRAM + 1))}
        common = Counter(number for gram in grams for number in self._where.get(gram, ()))
        for number, count in common.items():
            if count >= _NEAR * (len(grams) + self._sizes[number] - count):
                return False
        for gram in grams:
            self._where.setdefault(gram, []).append(len(self._sizes))
        self._sizes.append(len(grams))
        return True


def listed(reply: Reply) -> tuple[list[Any], bool] | str:
    """Return the items of an answer, and whether it had to be repaired; or why there are none.

    Only an answer that the model ended itself, and that ends as JSON does, is repaired: out of a
    cut one a repair would make half a row.
    """
    if reply.status != OK:
        return reply.status
    text = fenced[1] if (fenced := _FENCED.search(reply.text)) else reply.text
    begins = min((at for at in (text.find("["), text.find("{")) if at >= 0), default=-1)
    if begins < 0 or text[-1] not in "]}":
        return BAD_JSON
    text, repaired = text[begins:], False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        from json_repair import repair_json

        try:
            value, repaired = repair_json(text, return_objects=True, skip_json_loads=True), True
        except (ValueError, RecursionError):
            return BAD_JSON
    if isinstance(value, dict):
        lists = [each for each in value.values() if isinstance(each, list)]
        value = lists[0] if len(value) == len(lists) == 1 else [value]
    return (value, repaired) if isinstance(value, list) and value else BAD_JSON


def texts(reply: Reply) -> tuple[list[str], bool] | str:
    """Return a list of texts, or why there is none."""
    items = listed(reply)
    if isinstance(items, str):
        return items
    good = [item.strip() for item in items[0] if isinstance(item, str) and item.strip()]
    return (good, items[1]) if len(good) == len(items[0]) else NOT_IN_SCHEMA
