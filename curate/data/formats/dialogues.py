"""Dialogues as texts: each begins with who speaks, or one has the marks of a template or names.

HuatuoGPT has lists of 问：… and 答：… under `data`; MedDialog has 病人：… in blocks of text
(`curate.data.tables`) or, processed, in lists, and the hub's older copy turns of a speaker and an
utterance.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from curate.data.json_values import read_text
from curate.data.row_keys import ROLES
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
    utterances = [utterance for text in texts if (utterance := utterance_of(text))]
    if len(utterances) < len(texts):
        # A list most of which nobody says is no dialogue at all.
        turns = tuple(
            Turn("user", text) for _, text in utterances if 2 * len(utterances) >= len(texts)
        )
        return Dialogue(Parsed(turns=turns, flaw="unknown_role"), (key,))
    opened = bool(utterances) and not utterances[0].asks and bool(opening.strip())
    if opened:
        utterances.insert(0, Utterance(True, opening.strip()))
    joined = [
        Turn("user" if asks else "assistant", "\n".join(u.text for u in group if u.text))
        for asks, group in itertools.groupby(utterances, key=lambda utterance: utterance.asks)
    ]
    turns, trimmed = answered(joined)
    merged = (MERGED,) if len(joined) < len(utterances) else ()
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


# Dialogues in one text

# What begins a message, in the templates of many models.
_BEGIN = re.compile(
    r"<\|im_start\|>[ \t]*(\w+)[ \t]*\n|<\|start_header_id\|>\s*(\w+)\s*<\|end_header_id\|>|"
    r"<start_of_turn>[ \t]*(\w+)[ \t]*\n|<\|(user|assistant|system|observation)\|>|"
    r"<｜(User|Assistant)｜>"
)
_TOKEN = (
    r"(?:<\|(?:im_end|eot_id|end|endoftext|begin_of_text)\|>|<(?:end|start)_of_turn>|</?s>|<bos>|"
    r"<eos>|<｜(?:begin|end)▁of▁sentence｜>|<eo[a-z]>)"
)
_ANY = re.compile(_TOKEN)
# Space is searched from its beginning alone: from each of its characters may take hours.
_RUN = re.compile(rf"(?<!\s)(?:\s*{_TOKEN})+")
_INST = re.compile(r"\[INST\](.*?)\[/INST\](.*?)(?=\[INST\]|\Z)", re.DOTALL)
_ASKED = re.compile(r"\[/INST\]")
_SYS = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>\s*", re.DOTALL)
_PART = re.compile(
    r"(?:\A|\n)[ \t]*#{2,3}[ \t]*(Instruction|Input|Response|Output)[ \t]*[:：]?[ \t]*\n"
)
# Who speaks, at the beginning of a line or behind ###; in capitals anywhere.
_NAMES = "Human|User|Assistant|MOSS|Patient|Doctor|用户|助手|患者|病人|医生|问|答"
_NAMED = re.compile(
    r"(?:\A\s*|\n[ \t]*|###[ \t]*)(?:###[ \t]*)?(?:\[?Round \d+\]?\s*)?\[?(?:<\|)?"
    rf"({_NAMES})(?:\|>)?\]?[ \t]*[:：][ \t]*|(?:\A|(?<=\s))(USER|ASSISTANT|FUNCTION RESPONSE):\s*"
)
MOSS = re.compile(r"\A\s*<\|[^|>]*\|>[:：]\s*|(?:(?<!\s)\s+)?<eo[a-z]>\s*")
_CALL = re.compile(r"\A<functioncall>\s*(\{.*\})\Z", re.DOTALL)
# Its end first: each of many beginnings would be followed to a wrong one.
_QUOTED = re.compile(r"(?=.*'\s*\}\Z)(.*?\"arguments\":\s*)'(.*)'(\s*\}\Z)", re.DOTALL)
_ROLES = {**ROLES, "moss": "assistant", "function response": "observation"}
# What is told where a template's marks are gone.
UNFRAMED = "the marks of a template in the text read as who speaks"


def said_in(text: Any) -> Parsed | None:
    """Return what a text says that is a dialogue, None for any other."""
    if not isinstance(text, str):
        return None
    return _marked(text) or _instructed(text) or _in_parts(text) or _named(text)


def is_framed(text: Any) -> bool:
    """Tell whether a text has the marks of a template."""
    return isinstance(text, str) and any(
        mark.search(text) for mark in (_BEGIN, _ASKED, _PART, _ANY)
    )


def _bare(text: str) -> str:
    text = text.strip()
    runs = list(_RUN.finditer(text))
    start = runs[0].end() if runs and runs[0].start() == 0 else 0
    end = runs[-1].start() if runs and runs[-1].end() == len(text) else len(text)
    return text[start:end].strip()


def _parsed(roles: list[str], texts: list[str]) -> Parsed | None:
    if not roles or any(role not in _ROLES for role in roles):
        return None
    turns = [Turn(_ROLES[role], text) for role, text in zip(roles, texts, strict=True)]
    system = turns.pop(0).content if turns[0].role == "system" else ""
    return Parsed(system=system, turns=tuple(turns)) if turns else None


def _marked(text: str) -> Parsed | None:
    marks = list(_BEGIN.finditer(text))
    if not marks or _bare(text[: marks[0].start()]):
        return None
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    texts = [_bare(text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    return _parsed([(mark[mark.lastindex or 0] or "").lower() for mark in marks], texts)


def _instructed(text: str) -> Parsed | None:
    whole, asked_mark, last = text.rpartition("[/INST]")
    if not asked_mark:
        return None
    # Without what is asked at the end alone: every mark of it would be searched from to the end.
    whole += asked_mark + last.partition("[INST]")[0]
    pairs = [(_bare(asked), _bare(answer)) for asked, answer in _INST.findall(whole)]
    if not pairs or _bare(text[: text.index("[INST]")]):
        return None
    system = _SYS.match(pairs[0][0])
    if system:
        pairs[0] = (pairs[0][0][system.end() :], pairs[0][1])
    turns = [Turn(("user", "assistant")[at], pair[at]) for pair in pairs for at in (0, 1)]
    return Parsed(system=system[1].strip() if system else "", turns=tuple(turns))


def _in_parts(text: str) -> Parsed | None:
    """Read alpaca's prompt; what stands above its instruction is the same in every row."""
    _, *parts = _PART.split(text)
    sections = dict(zip(parts[::2], map(_bare, parts[1::2]), strict=True))
    answer = sections.get("Response", sections.get("Output"))
    if "Instruction" not in sections or answer is None or 2 * len(sections) < len(parts):
        return None
    asked = "\n".join(filter(None, (sections["Instruction"], sections.get("Input", ""))))
    return Parsed(turns=(Turn("user", asked), Turn("assistant", answer)))


def _named(text: str) -> Parsed | None:
    marks = list(_NAMED.finditer(text))
    system = text[: marks[0].start()].strip() if marks else ""
    if not marks or (system and not marks[0][2]):
        return None
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    texts = [MOSS.sub("", text[m.end() : end]).strip() for m, end in zip(marks, ends, strict=True)]
    parsed = _parsed([(mark[1] or mark[2]).lower() for mark in marks], list(map(_bare, texts)))
    if parsed is None or not {"user", "assistant"} & {turn.role for turn in parsed.turns}:
        return None
    return parsed._replace(system=system, turns=tuple(map(_call_of, parsed.turns)))


def _call_of(turn: Turn) -> Turn:
    """Return glaive's call as LLaMA-Factory has them, any other turn as it is."""
    call = _CALL.match(turn.content) if turn.role == "assistant" else None
    if not call:
        return turn
    quoted = _QUOTED.match(call[1])  # \Z: a call ends with a brace
    text = quoted[1] + quoted[2] + quoted[3] if quoted else call[1]
    read = read_text(text, python=True)
    return turn if read is text else Turn("function", json.dumps(read, ensure_ascii=False))
