"""MedDialog: consultations in blocks of text, or, processed, lists of texts 病人：… 医生：… ."""

from __future__ import annotations

import re
from typing import Any

from curate.data import speaker_lines
from curate.data.formats import LISTS
from curate.data.schema import Converted, Shape

NAME = "meddialog"
TITLE = "MedDialog"
KEYS = "blocks of text that begin with id=1, or lists of 病人：… and 医生：…"
RANK = LISTS
# A bare list of texts is put under this key.
LISTED = "dialogue"
# What the Hub's older copy has: turns of a speaker, 0 for the patient, and an utterance.
_TURNS = "dialogue_turns"
_DOCTORS = (1, "医生", "Doctor")
_PATIENTS = (0, "病人", "Patient")
# Of a block of text: see `curate.data.text_blocks`. `utterances` is what the Hub's copy has.
_BLOCK = "Dialogue"
_LISTS = (LISTED, "utterances")
_DESCRIBED = "Description"
# The heading of a part of the description stands on a line of its own.
_HEADING = re.compile(r"^([^\n:：]{1,40})[:：][ \t]*$", re.MULTILINE)
_COMPLAINT = re.compile(r"病情描述")
_SPEAKER = re.compile(r"[ \t]*(?:病人|患者|医生|Patient|Doctor)[ \t]*[:：]")


def detect(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if most rows are blocks, or lists of texts that begin with a speaker."""
    fitting = sum(
        isinstance(row.get(_BLOCK), str)
        or any(speaker_lines.are_said(row.get(key)) for key in _LISTS)
        or bool(_spoken(row.get(_TURNS)))
        for row in samples
    )
    return speaker_lines.shape_of(NAME) if fitting and 2 * fitting >= len(samples) else None


def convert(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with messages; the rest of a block stays beside them."""
    key = next((key for key in _LISTS if isinstance(value.get(key), list)), _BLOCK)
    if key not in value and _TURNS in value:
        key = _TURNS
    beside = {name: each for name, each in value.items() if name not in (key, speaker_lines.KEY)}
    texts = value.get(key, [])
    if key == _TURNS:
        texts = _spoken(texts)
    elif isinstance(texts, str):
        texts = utterances(texts)
    described = next((value[k] for k in (_DESCRIBED, "description") if value.get(k)), "")
    opening = complaint(described) if isinstance(described, str) else ""
    return speaker_lines.converted(texts, beside, value, opening)


def _spoken(turns: Any) -> list[str] | None:
    """Return turns as texts that begin with who speaks, None if they are no such turns."""
    if isinstance(turns, dict):  # a list of each, as `datasets` has a list of records
        whos, texts = turns.get("speaker"), turns.get("utterance")
    elif isinstance(turns, list) and all(isinstance(each, dict) for each in turns):
        whos, texts = ([each.get(key) for each in turns] for key in ("speaker", "utterance"))
    else:
        return None
    if not isinstance(whos, list) or not isinstance(texts, list) or len(whos) != len(texts):
        return None
    if not all(isinstance(text, str) for text in texts):
        return None
    names = ["医生" if who in _DOCTORS else "病人" if who in _PATIENTS else "" for who in whos]
    return [f"{name}：{text}" for name, text in zip(names, texts, strict=True)]


def utterances(text: str) -> list[str]:
    r"""Return what was said, each with its speaker; in a block the text is on the next lines.

    Example:
        >>> utterances("医生：\n多久了？\n病人：\n三天。")
        ['医生：\n多久了？', '病人：\n三天。']
    """
    lines = text.strip().split("\n")
    # Where speakers stand alone on their lines, 医生：您好 is how a patient begins.
    alone = any(_SPEAKER.fullmatch(line.strip()) for line in lines)
    said: list[str] = []
    for line in lines:
        begins = _SPEAKER.fullmatch(line.strip()) if alone else _SPEAKER.match(line)
        if begins or not said:
            said.append(line)
        else:
            said[-1] += f"\n{line}"
    return said


def complaint(described: str) -> str:
    r"""Return what the patient complains of, or the whole description if no part of it says so.

    Example:
        >>> complaint("疾病：\n感冒\n病情描述：\n发烧两天。")
        '发烧两天。'
    """
    parts = _HEADING.split(described)
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        if _COMPLAINT.match(heading) and text.strip():
            return text.strip()
    return described.strip()
