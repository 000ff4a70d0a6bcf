"""What an answer holds: its text, with its thoughts if they are kept, or a list as JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from curate.data.rows import Rows
from curate.data.schema import Shape
from curate.distill.requests import BAD_JSON, NOT_IN_SCHEMA, OK, Reply
from curate.parameters.distill import Asking

FIELDS = {"prompt": "instruction", "query": "input", "system": "system", "history": "history"}
ALPACA = Shape("alpaca", "alpaca", {**FIELDS, "response": "output"})
REPEAT = "near_duplicate"
_FENCED = re.compile(r"```(?:json)?\s*(.*?)\s*```\s*\Z", re.S | re.I)
_NEAR, _NGRAM = 0.7, 5  # share of common n-grams, characters of one


def answer_text(reply: Reply, params: Asking) -> str:
    """Return an answer, with what was thought before it if that is kept."""
    thinking = reply.completion.thinking if reply.completion else ""
    if not (params.keep_thinking and thinking):
        return reply.text
    return f"<think>\n{thinking}\n</think>\n\n{reply.text}"


def texts_of(rows: Rows) -> Iterator[str]:
    yield from (f"{row.prompt}\n{row.response}" for row in rows)


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
    items = listed(reply)
    if isinstance(items, str):
        return items
    good = [item.strip() for item in items[0] if isinstance(item, str) and item.strip()]
    return (good, items[1]) if len(good) == len(items[0]) else NOT_IN_SCHEMA
