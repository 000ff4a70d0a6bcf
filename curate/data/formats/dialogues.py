"""Dialogues as texts that begin with who speaks: HuatuoGPT's 问：… 答：…, MedDialog's 病人：… .

HuatuoGPT has lists of them under `data`; MedDialog has blocks of text (`curate.data.tables`)
or, processed, lists, and the hub's older copy turns of a speaker and an utterance.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from curate.data.schema import Parsed, Turn

ASKS = ("问", "提问", "患者", "病人", "用户", "patient", "user", "human", "q")
ANSWERS = ("答", "回答", "医生", "大夫", "助手", "doctor", "assistant", "gpt", "a")
# A colon of either width. What stands before the speaker is space or a mark of order.
_SPEAKER = re.compile(rf"[\s\ufeff]*({'|'.join([*ASKS, *ANSWERS])})\s*[:：]", re.IGNORECASE)
MERGED = "a speaker's messages in a row joined"
TRIMMED = "question without an answer at the end left out"
OPENED = "doctor speaks first, the patient's description put before"
LISTED = "dialogue"  # of MedDialog: a block of text or, processed, a list of texts
_KEYS = (LISTED, "utterances", "dialogue_turns")
_DOCTORS = (1, "医生", "Doctor")
_PATIENTS = (0, "病人", "Patient")
# The heading of a part of the description stands on a line of its own.
_HEADING = re.compile(r"^([^\n:：]{1,40})[:：][ \t]*$", re.MULTILINE)
_IN_BLOCK = re.compile(r"[ \t]*(?:病人|患者|医生|Patient|Doctor)[ \t]*[:：]")


class Dialogue(NamedTuple):
    """What a row says, the keys it says it in, what was changed and what was left out."""

    parsed: Parsed
    used: tuple[str, ...]
    changes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


class Utterance(NamedTuple):
    """What somebody said, without the name of who speaks; `asks`: it is the one who asks."""

    asks: bool
    text: str


def utterance_of(text: Any) -> Utterance | None:
    """Return who says what, None for a text that does not begin with a speaker."""
    match = _SPEAKER.match(text) if isinstance(text, str) else None
    return Utterance(match[1].lower() in ASKS, text[match.end() :].strip()) if match else None


def answered(turns: Sequence[Turn]) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """Return turns without a question at the end that nobody answers, and what was changed."""
    if len(turns) > 1 and turns[-1].role == "user":
        return tuple(turns[:-1]), (TRIMMED,)
    return tuple(turns), ()


def spoken(texts: Any, key: str, opening: str = "") -> Dialogue | None:
    """Return what texts say that begin with who speaks, None if they are no list of texts.

    Messages of one speaker in a row are joined by a line break, a question at the end that nobody
    answers is left out, and where the doctor speaks first, the patient's description goes before.
    """
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return None
    said = [utterance for text in texts if (utterance := utterance_of(text))]
    if len(said) < len(texts):
        # A list most of which nobody says is no dialogue at all.
        turns = tuple(Turn("user", text) for _, text in said if 2 * len(said) >= len(texts))
        return Dialogue(Parsed(turns=turns, flaw="unknown_role"), (key,))
    opened = bool(said) and not said[0].asks and bool(opening.strip())
    if opened:
        said.insert(0, Utterance(True, opening.strip()))
    joined = [
        Turn("user" if asks else "assistant", "\n".join(u.text for u in group if u.text))
        for asks, group in itertools.groupby(said, key=lambda utterance: utterance.asks)
    ]
    turns, trimmed = answered(joined)
    merged = (MERGED,) if len(joined) < len(said) else ()
    return Dialogue(Parsed(turns=turns), (key,), (*(OPENED,) * opened, *merged, *trimmed))


def huatuogpt(row: dict[str, Any]) -> Dialogue | None:
    """Read a list of texts that begin with who speaks."""
    return spoken(row.get("data"), "data")


def meddialog(row: dict[str, Any]) -> Dialogue | None:
    """Read a block of text, a list of texts, or turns, of a patient and a doctor."""
    key = next((key for key in _KEYS if key in row), "")
    texts = row.get(key, [])
    if key == _KEYS[-1]:
        texts = _texts_of(texts)
    elif isinstance(texts, str):
        texts = in_block(texts)
    described = row.get("description")
    return spoken(texts, key, complaint(described) if isinstance(described, str) else "")


def _texts_of(turns: Any) -> list[str] | None:
    """Return turns as texts that begin with who speaks, None if they are no such turns."""
    if isinstance(turns, dict):  # a list of each, as `datasets` has a list of records
        whos, texts = turns.get("speaker"), turns.get("utterance")
    elif isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
        whos, texts = ([turn.get(key) for turn in turns] for key in ("speaker", "utterance"))
    else:
        return None
    if not isinstance(whos, list) or not isinstance(texts, list) or len(whos) != len(texts):
        return None
    if not all(isinstance(text, str) for text in texts):
        return None
    names = ["医生" if who in _DOCTORS else "病人" if who in _PATIENTS else "" for who in whos]
    return [f"{name}：{text}" for name, text in zip(names, texts, strict=True)]


def in_block(text: str) -> list[str]:
    """Return what was said, each with its speaker; in a block the text is on the next lines."""
    lines = text.strip().split("\n")
    # Where speakers stand alone on their lines, 医生：您好 is how a patient begins.
    alone = any(_IN_BLOCK.fullmatch(line.strip()) for line in lines)
    texts: list[str] = []
    for line in lines:
        begins = _IN_BLOCK.fullmatch(line.strip()) if alone else _IN_BLOCK.match(line)
        if begins or not texts:
            texts.append(line)
        else:
            texts[-1] += f"\n{line}"
    return texts


def complaint(described: str) -> str:
    """Return what the patient complains of, or the whole description if no part of it says so."""
    parts = _HEADING.split(described)
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        if heading.startswith("病情描述") and text.strip():
            return text.strip()
    return described.strip()
