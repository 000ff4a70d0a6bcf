"""Dialogues that are one text: with the marks of a template, or the names of who speaks."""

from __future__ import annotations

import json
import re
from typing import Any

from curate.data.json_values import read_text
from curate.data.lists_in_rows import ROLES
from curate.data.schema import Parsed, Turn

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
_EDGES = re.compile(rf"\A(?:\s*{_TOKEN})+\s*|(?:\s*{_TOKEN})+\s*\Z")
_INST = re.compile(r"\[INST\](.*?)\[/INST\](.*?)(?=(?:<s>)?\s*\[INST\]|\Z)", re.DOTALL)
_SYS = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>\s*", re.DOTALL)
_PART = re.compile(
    r"(?:\A|\n)[ \t]*#{2,3}[ \t]*(Instruction|Input|Response|Output)[ \t]*[:：]?[ \t]*\n"
)
# Who speaks, at the beginning of a line or behind ###; in capitals anywhere.
_NAMES = "Human|User|Assistant|MOSS|Patient|Doctor|用户|助手|患者|病人|医生|问|答"
_SPEAKER = re.compile(
    r"(?:\A\s*|\n[ \t]*|###[ \t]*)(?:###[ \t]*)?(?:\[?Round \d+\]?\s*)?\[?(?:<\|)?"
    rf"({_NAMES})(?:\|>)?\]?[ \t]*[:：][ \t]*|(?:\A|(?<=\s))(USER|ASSISTANT|FUNCTION RESPONSE):\s*"
)
MOSS = re.compile(r"\A\s*<\|[^|>]*\|>[:：]\s*|\s*<eo[a-z]>\s*")
_CALL = re.compile(r"\A<functioncall>\s*(\{.*\})\Z", re.DOTALL)
_QUOTED = re.compile(r"(\"arguments\":\s*)'(.*)'(\s*\}\s*)\Z", re.DOTALL)
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
    return isinstance(text, str) and any(mark.search(text) for mark in (_BEGIN, _INST, _PART, _ANY))


def _bare(text: str) -> str:
    return _EDGES.sub("", text).strip()


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
    pairs = [(_bare(asked), _bare(answer)) for asked, answer in _INST.findall(text)]
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
    said = dict(zip(parts[::2], map(_bare, parts[1::2]), strict=True))
    answer = said.get("Response", said.get("Output"))
    if "Instruction" not in said or answer is None or 2 * len(said) < len(parts):
        return None
    asked = "\n".join(filter(None, (said["Instruction"], said.get("Input", ""))))
    return Parsed(turns=(Turn("user", asked), Turn("assistant", answer)))


def _named(text: str) -> Parsed | None:
    marks = list(_SPEAKER.finditer(text))
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
    quoted = _QUOTED.search(call[1])
    text = call[1][: quoted.start()] + quoted[1] + quoted[2] + quoted[3] if quoted else call[1]
    read = read_text(text, python=True)
    return turn if read is text else Turn("function", json.dumps(read, ensure_ascii=False))
