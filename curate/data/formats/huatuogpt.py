"""HuatuoGPT: a list of texts under `data`, in turn a question and an answer, 问：… 答：… ."""

from __future__ import annotations

from typing import Any

from curate.data import speaker_lines
from curate.data.formats import LISTS
from curate.data.schema import Converted, Shape

NAME = "huatuogpt"
TITLE = "HuatuoGPT"
KEYS = "data: a list of 问：… and 答：…"
RANK = LISTS
_KEY = "data"


def detect(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if most rows have a list of texts that begin with a speaker."""
    fitting = sum(speaker_lines.are_said(row.get(_KEY)) for row in samples)
    return speaker_lines.shape_of(NAME) if fitting and 2 * fitting >= len(samples) else None


def convert(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with messages instead of texts that begin with a speaker."""
    beside = {key: each for key, each in value.items() if key not in (_KEY, speaker_lines.KEY)}
    return speaker_lines.converted(value.get(_KEY), beside, value, "")
