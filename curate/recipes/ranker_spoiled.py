"""Responses spoiled on purpose, for the mistakes that no pair of people's hands shows.

Nobody revises "I don't know" or a sentence that is said twenty times, so a head that learns from
revisions and preferences alone may take either for a good response: it looks at a handful of
numbers, and a short text has few marks of a bad one. Each pair's better response is therefore
also put beside a worse one that is made here. These pairs count little, and judge nothing but
themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from curate.data.preference_pairs import Pair
from curate.models.ranking.writing_style import is_chinese

SOURCE = "spoiled: "
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

    Args:
        pairs: In any order: what becomes of one does not depend on where it stands.
        seed: Another gives other kinds and places.
    """
    by_language: dict[bool, list[Pair]] = {True: [], False: []}
    for pair in sorted(pairs, key=lambda pair: (pair.prompt, pair.better)):
        by_language[is_chinese(pair.prompt)].append(pair)
    made = []
    for pair in pairs:
        digest = hashlib.sha256(f"{seed}|{pair.prompt}\0{pair.better}\0{pair.worse}".encode())
        draws = np.random.default_rng(list(digest.digest()[:16]))
        kind = tuple(_KINDS)[int(draws.integers(len(_KINDS)))]
        others = by_language[is_chinese(pair.prompt)]
        response = _KINDS[kind](pair, others, draws)
        if response.strip() not in ("", pair.better.strip()):
            made.append(replace(pair, worse=response, source=SOURCE + kind))
    return made


def _no_answer(pair: Pair, others: Sequence[Pair], draws: np.random.Generator) -> str:
    texts = _NOTHING[is_chinese(pair.prompt)]
    return texts[int(draws.integers(len(texts)))]


def _loop(pair: Pair, others: Sequence[Pair], draws: np.random.Generator) -> str:
    text = pair.better.strip()
    if is_chinese(text):
        start = text[: int(draws.integers(4, 40))]
    else:
        start = " ".join(text.split()[: int(draws.integers(1, 12))]) + " "
    return start * int(draws.integers(4, 20))


def _echo(pair: Pair, others: Sequence[Pair], draws: np.random.Generator) -> str:
    return pair.prompt


def _other(pair: Pair, others: Sequence[Pair], draws: np.random.Generator) -> str:
    one = others[int(draws.integers(len(others)))]
    return "" if one.prompt == pair.prompt else one.better


_KINDS: dict[str, Callable[[Pair, Sequence[Pair], np.random.Generator], str]] = {
    "no_answer": _no_answer,
    "loop": _loop,
    "echo": _echo,
    "other": _other,
}
