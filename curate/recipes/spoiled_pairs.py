"""Responses spoiled on purpose, for the mistakes that no pair of people's hands shows.

Nobody revises "I don't know" or a sentence that is said twenty times, so a head that learns from
revisions and preferences alone may take either for a good response. Pairs of a better response and
one that is made here count little, and judge nothing but themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from curate.data.preference_pairs import Pair
from curate.models.ranking.writing_style import is_chinese

SOURCE = "spoiled: "
_KINDS = ("no_answer", "loop", "echo", "other")
_NOTHING = {
    False: (
        *("I don't know", "I do not know.", "No idea.", "I'm not sure.", "N/A", "Yes", "OK"),
        "Sorry, I can't help with that.",
    ),
    True: ("不知道", "我不知道。", "不清楚", "抱歉，我不知道。", "无", "好的", "是", "嗯"),
}


def spoil(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Return a pair of each better response and a spoiled one, its source naming the kind.

    Kinds are `no_answer`, `loop` (its beginning over and over), `echo` (the prompt) and `other`
    (the better response of another prompt in the same language).
    """
    by_language: dict[bool, list[Pair]] = {True: [], False: []}
    for pair in sorted(pairs, key=lambda pair: (pair.prompt, pair.better)):
        by_language[is_chinese(pair.prompt)].append(pair)
    spoiled = []
    for pair in pairs:
        digest = hashlib.sha256(f"{seed}|{pair.prompt}\0{pair.better}\0{pair.worse}".encode())
        draws = np.random.default_rng(list(digest.digest()[:16]))
        kind = _KINDS[int(draws.integers(len(_KINDS)))]
        response = _response(kind, pair, by_language[is_chinese(pair.prompt)], draws)
        if response.strip() not in ("", pair.better.strip()):
            spoiled.append(replace(pair, worse=response, source=SOURCE + kind))
    return spoiled


def _response(kind: str, pair: Pair, others: Sequence[Pair], draws: np.random.Generator) -> str:
    if kind == "no_answer":
        texts = _NOTHING[is_chinese(pair.prompt)]
        return texts[int(draws.integers(len(texts)))]
    if kind == "echo":
        return pair.prompt
    if kind == "other":
        other = others[int(draws.integers(len(others)))]
        return "" if other.prompt == pair.prompt else other.better
    text = pair.better.strip()
    if is_chinese(text):
        start = text[: int(draws.integers(4, 40))]
    else:
        start = " ".join(text.split()[: int(draws.integers(1, 12))]) + " "
    return start * int(draws.integers(4, 20))
