"""How long prompt and response are: the baseline that every other score has to be held against.

A word is a run of letters, a number, or a Chinese character, so that rows of both languages can
be compared. Of a dialogue, the response is all of its answers, the prompt all else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.rows import Row, Rows
from curate.scorers.by_row import by_row
from curate.scorers.contract import NOTHING, OK, Scores

NAME, NEEDS, MAIN = "length", NOTHING, "response_words"
ABOUT = "words and characters of prompt and response; no model"
COLUMNS = ("prompt_words", "response_words", "prompt_characters", "response_characters", "turns")
_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_HAN}]|\d+|[^\W\d_{_HAN}]+(?:['’][^\W\d_{_HAN}]+)*")
_ANSWERS = ("assistant", "function")


@dataclass(frozen=True)
class LengthParams:
    """Nothing decides the numbers besides the rows."""


PARAMS = LengthParams


def words(text: str) -> int:
    """Return how many words a text has; a Chinese character is one.

    Example:
        >>> words("It's 42."), words("高血压患者能吃党参吗？")
        (2, 10)
    """
    return len(_WORD.findall(text))


def _sizes(rows: list[Row]) -> NDArray[np.float64]:
    """Return (rows, columns) what is measured, NaN where there is no response."""
    sizes = np.full((len(rows), len(COLUMNS)), np.nan)
    for place, row in enumerate(rows):
        if row.response.strip():
            answers = [turn.content for turn in row.turns if turn.role in _ANSWERS]
            asked = [row.system, *(turn.content for turn in row.turns if turn.role not in _ANSWERS)]
            sums = [sum(map(size, texts)) for size in _SIZES for texts in (asked, answers)]
            sizes[place] = (*sums, len(answers))
    return sizes


_SIZES: tuple[Callable[[str], int], ...] = (words, len)


def score(rows: Rows, params: LengthParams = PARAMS()) -> Scores:  # noqa: B008 - frozen
    """Return the lengths of every row; NaN and a status where there is no response.

    Example:
        >>> score(rows).values("response_words")
    """
    flaws = rows.table.column("flaw").to_numpy()
    sound, status = np.equal(flaws, ""), flaws.astype(object)
    measured = by_row(rows, sound, _sizes)
    status[sound] = OK
    status[np.flatnonzero(sound)[np.isnan(measured[:, -1])]] = "empty_response"
    columns = {}
    for name, numbers in zip(COLUMNS, measured.T, strict=True):
        whole = np.full(len(rows), np.nan)
        whole[sound] = numbers
        columns[name] = pa.array(whole)  # takes it over, without a copy
    return Scores(status, columns)
