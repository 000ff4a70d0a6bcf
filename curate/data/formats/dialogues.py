"""Dialogues as texts that begin with who speaks: HuatuoGPT's 问：… 答：…, MedDialog's 病人：… .

HuatuoGPT has lists of them under `data`; MedDialog has blocks of text (`curate.data.text_blocks`)
or, processed, lists, and the hub's older copy turns of a speaker and an utterance.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from curate.data.canonical import message
from curate.data.formats import LISTS, Format
from curate.data.schema import CANONICAL_TAGS, Converted, Shape

ASKS = ("问", "提问", "患者", "病人", "用户", "patient", "user", "human", "q")
ANSWERS = ("答", "回答", "医生", "大夫", "助手", "doctor", "assistant", "gpt", "a")
# A colon of either width. What stands before the speaker is space or a mark of order.
_SPEAKER = re.compile(rf"[\s\ufeff]*({'|'.join([*ASKS, *ANSWERS])})\s*[:：]", re.IGNORECASE)
MERGED = "a speaker's messages in a row joined"
TRIMMED = "question without an answer at the end left out"
OPENED = "doctor speaks first, the patient's description put before"
KEY = "conversations"
_HUATUO = "data"
# Of MedDialog: a bare list of texts is put under LISTED, `utterances` is what the hub's copy has.
LISTED = "dialogue"
_LISTS = (LISTED, "utterances")
_BLOCK = "Dialogue"
_TURNS = "dialogue_turns"
_DOCTORS = (1, "医生", "Doctor")
_PATIENTS = (0, "病人", "Patient")
# The heading of a part of the description stands on a line of its own.
_HEADING = re.compile(r"^([^\n:：]{1,40})[:：][ \t]*$", re.MULTILINE)
_IN_BLOCK = re.compile(r"[ \t]*(?:病人|患者|医生|Patient|Doctor)[ \t]*[:：]")


class Utterance(NamedTuple):
    """What somebody said, without the name of who speaks; `asks`: it is the one who asks."""

    asks: bool
    text: str


def utterance_of(text: Any) -> Utterance | None:
    """Return who says what, None for a text that does not begin with a speaker."""
    match = _SPEAKER.match(text) if isinstance(text, str) else None
    return Utterance(match[1].lower() in ASKS, text[match.end() :].strip()) if match else None


def _are_spoken(value: Any) -> bool:
    """Tell whether a value is a list of texts most of which begin with a speaker."""
    if not isinstance(value, list) or not value:
        return False
    return 2 * sum(utterance_of(text) is not None for text in value) >= len(value)


def _shape(name: str, fitting: int, samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape of converted rows if at least half of the samples fit."""
    if not fitting or 2 * fitting < len(samples):
        return None
    return Shape(name, "sharegpt", {"messages": KEY}, dict(CANONICAL_TAGS))


def _converted(texts: Any, key: str, value: dict[str, Any], opening: str = "") -> Converted:
    """Return a dialogue as messages in turn; what the row has beside `key` stays.

    Messages of one speaker in a row are joined by a line break, a question at the end that nobody
    answers is left out, and where the doctor speaks first, the patient's description goes before.
    """
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return Converted(value, flaw="not_text")
    spoken = [utterance for text in texts if (utterance := utterance_of(text))]
    if len(spoken) < len(texts):
        return Converted(value, flaw="unknown_role")
    changes: list[str] = []
    if spoken and not spoken[0].asks and opening.strip():
        spoken.insert(0, Utterance(True, opening.strip()))
        changes.append(OPENED)
    turns: list[Utterance] = []
    for utterance in spoken:
        if turns and turns[-1].asks == utterance.asks:
            both = "\n".join(text for text in (turns[-1].text, utterance.text) if text)
            turns[-1] = Utterance(utterance.asks, both)
        else:
            turns.append(utterance)
    if len(turns) < len(spoken):
        changes.append(MERGED)
    if len(turns) > 1 and turns[-1].asks:
        turns.pop()
        changes.append(TRIMMED)
    messages = [message("user" if turn.asks else "assistant", turn.text) for turn in turns]
    beside = {name: inner for name, inner in value.items() if name not in (key, KEY)}
    return Converted({KEY: messages, **beside}, tuple(changes))


def _detect_huatuogpt(samples: list[dict[str, Any]]) -> Shape | None:
    return _shape("huatuogpt", sum(_are_spoken(row.get(_HUATUO)) for row in samples), samples)


def _convert_huatuogpt(value: dict[str, Any], shape: Shape) -> Converted:
    return _converted(value.get(_HUATUO), _HUATUO, value)


def _detect_meddialog(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if most rows are blocks, or lists of texts that begin with a speaker."""
    fitting = sum(
        isinstance(row.get(_BLOCK), str)
        or any(_are_spoken(row.get(key)) for key in _LISTS)
        or bool(_texts_of(row.get(_TURNS)))
        for row in samples
    )
    return _shape("meddialog", fitting, samples)


def _convert_meddialog(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with messages; the rest of a block stays beside them."""
    key = next((key for key in _LISTS if isinstance(value.get(key), list)), _BLOCK)
    if key not in value and _TURNS in value:
        key = _TURNS
    texts = value.get(key, [])
    if key == _TURNS:
        texts = _texts_of(texts)
    elif isinstance(texts, str):
        texts = in_block(texts)
    described = next((value[k] for k in ("Description", "description") if value.get(k)), "")
    opening = complaint(described) if isinstance(described, str) else ""
    return _converted(texts, key, value, opening)


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


FORMATS = (
    Format(
        name="huatuogpt",
        keys="data: a list of 问：… and 答：…",
        rank=LISTS,
        detect=_detect_huatuogpt,
        convert=_convert_huatuogpt,
        title="HuatuoGPT",
    ),
    Format(
        name="meddialog",
        keys="blocks of text that begin with id=1, or lists of 病人：… and 医生：…",
        rank=LISTS,
        detect=_detect_meddialog,
        convert=_convert_meddialog,
        title="MedDialog",
        listed=LISTED,
    ),
)
