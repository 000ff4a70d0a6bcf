"""Dialogues as public sets have them, where no entry of dataset_info.json could say how.

A reader takes a row, its keys in small letters, and returns what it says, or None for a row of
another layout. The row is then emitted as LLaMA-Factory's sharegpt, its other keys beside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from curate.data.canonical import canonical_row, canonical_shape, parse, tools_of
from curate.data.formats import ITEMS, KEYS_ALONE, LISTS, Format, keys_of, kto_column, messages
from curate.data.formats.dialogues import (
    ANSWERS,
    ASKS,
    LISTED,
    Dialogue,
    answered,
    huatuogpt,
    meddialog,
    utterance_of,
)
from curate.data.row_keys import SYSTEMS, are_messages, folded_row, in_small_letters, unused_keys
from curate.data.schema import CANONICAL_TAGS, MEDIA, STRUCTURAL, Converted, Parsed, Shape, Turn

Row = dict[str, Any]
Reader = Callable[[Row], Dialogue | None]
_KEY = "conversations"
_BESIDE = {column: column for column in ("system", "tools", *MEDIA)}
_PAIRS = (("chosen", "rejected"), ("chosen_messages", "rejected_messages"))
_ASKING = {*ASKS, "question", "query", "input", "instruction", "prompt"}
_ANSWERING = {*ANSWERS, "answer", "response", "output", "bot", "moss"}
# Who speaks, at the beginning of a line or behind ###.
_SPEAKER = re.compile(
    r"(?:\A\s*|\n[ \t]*|###[ \t]*)(?:###[ \t]*)?\[?(?:<\|)?"
    r"(Human|User|Assistant|MOSS)(?:\|>)?\]?[ \t]*[:：][ \t]*"
)
_MOSS = re.compile(r"\A\s*<\|[^|>]*\|>[:：]\s*|\s*<eo[a-z]>\s*")
_RANKED = "answers that others were ranked above left out"


def _in_turn(texts: list[str]) -> tuple[Turn, ...]:
    return tuple(Turn(("user", "assistant")[at % 2], text) for at, text in enumerate(texts))


def _first_text(row: Row, *keys: str) -> str:
    return next((key for key in keys if isinstance(row.get(key), str)), "")


def _of_messages(value: Any) -> Parsed | None:
    row = {"messages": value}
    shape = messages.detect([row]) if are_messages(value) else None
    if shape is None:
        return None
    parsed = parse(messages.convert(row, shape).row, shape)
    return None if parsed.flaw in STRUCTURAL else parsed


def _of_text(value: Any) -> Parsed | None:
    if not isinstance(value, str) or not _SPEAKER.match(value):
        return None
    _, *parts = _SPEAKER.split(value)
    roles = ("user" if who in ("Human", "User") else "assistant" for who in parts[::2])
    texts = (_MOSS.sub("", text).strip() for text in parts[1::2])
    return Parsed(turns=tuple(map(Turn, roles, texts)))


def _pair(row: Row) -> Dialogue | None:
    for names in _PAIRS:
        chosen, rejected = (_of_messages(row.get(n)) or _of_text(row.get(n)) for n in names)
        if chosen and rejected and chosen.turns and rejected.turns:
            break
    else:
        return None
    if {chosen.turns[-1].role, rejected.turns[-1].role} != {"assistant"}:
        return None
    before, asked = chosen.turns[:-1], _of_messages(row.get("prompt"))
    if asked and before[: len(asked.turns)] != asked.turns:
        before = (*asked.turns, *before)
    elif not before:
        if any(are_messages(value) for key, value in row.items() if key not in names):
            return None  # messages with two responses to them
        key = _first_text(row, "prompt", "question")
        before = (Turn("user", row[key]),) if row.get(key) else ()
    parsed = Parsed(
        system=chosen.system or (asked.system if asked else ""),
        turns=before,
        chosen=chosen.turns[-1].content,
        rejected=rejected.turns[-1].content,
        flaw="" if chosen.turns[:-1] == rejected.turns[:-1] else "prompts_differ",
    )
    return Dialogue(parsed, (*names, *(("prompt",) if asked else ())))


def _listed_responses(row: Row) -> Dialogue | None:
    """Read alpaca's older preferences: an output that lists the better and the worse."""
    output = row.get("output")
    if not isinstance(output, list) or [type(text) for text in output] != [str, str]:
        return None
    columns = {"prompt": "instruction", "query": "input", "history": "history"}
    columns |= {"chosen": "chosen", "rejected": "rejected", "system": "system"}
    pair = {"chosen": output[0], "rejected": output[1]}
    parsed = parse(row | pair, Shape("alpaca", "alpaca", columns, ranking=True))
    return Dialogue(parsed, ("instruction", "input", "output", "history", "system"))


def _prompt_completion(row: Row) -> Dialogue | None:
    name = "completion" if "completion" in row else "response"
    asked, told = _of_messages(row.get("prompt")), _of_messages(row.get(name))
    turns: list[Turn] = []
    for parsed, key, role in ((asked, "prompt", "user"), (told, name, "assistant")):
        if not parsed and not isinstance(row.get(key), str):
            return None
        turns += parsed.turns if parsed else [Turn(role, row[key])]
    if not asked and not told:
        return None
    system = asked.system if asked else ""
    return Dialogue(Parsed(system=system, turns=tuple(turns)), ("prompt", name))


def _exchanges(row: Row) -> Dialogue | None:
    """Read a list of objects that each hold a question and its answer: firefly's and others'."""
    for key, value in row.items():
        if not isinstance(value, list) or not value or key == "history":
            continue
        said: list[str] = []
        for item in value:
            texts = folded_row(item) if isinstance(item, dict) else {}
            asks, answers = (texts.keys() & names for names in (_ASKING, _ANSWERING))
            pair = [texts[name] for name in (*asks, *answers)]
            if (len(asks), len(answers)) != (1, 1) or not all(isinstance(t, str) for t in pair):
                break
            said += pair
        else:
            return Dialogue(Parsed(turns=_in_turn(said)), (key,))
    return None


def _moss(row: Row) -> Dialogue | None:
    chat = row.get("chat")
    if isinstance(chat, dict) and chat:
        said: list[str] = []
        left: set[str] = set()
        for turn in chat.values():
            if not isinstance(turn, dict) or not {"Human", "MOSS"} <= turn.keys():
                return None
            texts = {name: _MOSS.sub("", str(text or "")).strip() for name, text in turn.items()}
            said += [texts.pop("Human"), texts.pop("MOSS")]
            left |= {f"{name} of a turn" for name in texts if texts[name] not in ("", "None")}
        return Dialogue(Parsed(turns=_in_turn(said)), ("chat",), unused=tuple(sorted(left)))
    for name in ("plain_text", "text"):
        parsed = _of_text(row.get(name))
        if parsed and len(parsed.turns) > 1:
            turns, changes = answered(parsed.turns)
            return Dialogue(Parsed(turns=turns), (name,), changes)
    return None


def _texts_in_turn(row: Row) -> Dialogue | None:
    """Read UltraChat's lists: question, answer, question, answer, without who speaks."""
    texts = row.get("data")
    if not isinstance(texts, list) or len(texts) < 2:
        return None
    if not all(isinstance(text, str) and utterance_of(text) is None for text in texts):
        return None
    turns, changes = answered(_in_turn(texts))
    return Dialogue(Parsed(turns=turns), ("data",), changes)


def _calls(row: Row) -> Dialogue | None:
    """Read a question whose answers are calls of tools, as xlam has them."""
    name = _first_text(row, "query", "question", "instruction", "prompt")
    key = "answers" if "answers" in row else "answer"
    calls, tools = row.get(key), row.get("tools")
    try:
        calls = json.loads(calls) if isinstance(calls, str) else calls
    except (ValueError, RecursionError):
        return None
    if not name or not tools or not isinstance(calls, list) or not calls:
        return None
    if not all(isinstance(call, dict) and {"name", "arguments"} <= call.keys() for call in calls):
        return None
    text = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
    turns = (Turn("user", row[name]), Turn("function", text))
    return Dialogue(Parsed(turns=turns, tools=tools_of(tools)), (name, key, "tools"))


def _tree(row: Row) -> Dialogue | None:
    """Read the best-ranked path through a tree of messages, as oasst has them."""
    node = row.get("prompt")
    if not isinstance(node, dict) or not {"text", "role", "replies"} <= node.keys():
        return None
    turns: list[Turn] = []
    left = 0
    while node:
        role = "user" if node.get("role") == "prompter" else "assistant"
        turns.append(Turn(role, str(node.get("text") or "")))
        replies = [r for r in node.get("replies") or () if isinstance(r, dict)]
        replies = [reply for reply in replies if not reply.get("deleted") and reply.get("text")]
        left += max(0, len(replies) - 1)
        replies.sort(key=lambda reply: (reply.get("rank") is None, reply.get("rank") or 0))
        node = replies[0] if replies else None
    path, changes = answered(turns)
    return Dialogue(Parsed(turns=path), ("prompt",), (*changes, *((_RANKED,) if left else ())))


def _in_instruction(row: Row) -> Dialogue | None:
    """Read BELLE's dialogues: all earlier turns stand in the instruction."""
    for asked, answer in (("instruction", "output"), ("prompt", "completion")):
        parsed, text = _of_text(row.get(asked)), row.get(answer)
        if not parsed or not isinstance(text, str) or row.get("input"):
            continue
        *turns, last = parsed.turns
        if turns and last == Turn("assistant", ""):
            told = Parsed(turns=(*turns, Turn("assistant", text)))
            return Dialogue(told, (asked, answer, "input"))
    return None


def _dialogue(reader: Reader, value: Row) -> Dialogue | None:
    row = folded_row(value)
    dialogue = reader(row)
    if dialogue is None or dialogue.parsed.system:
        return dialogue
    key = _first_text(row, *SYSTEMS)
    parsed = dialogue.parsed._replace(system=row.get(key, ""))
    return dialogue._replace(parsed=parsed, used=(*dialogue.used, key))


def _detect(name: str, reader: Reader, samples: list[Row]) -> Shape | None:
    dialogues = [dialogue for row in samples if (dialogue := _dialogue(reader, row))]
    fitting = [dialogue for dialogue in dialogues if dialogue.parsed.turns]
    if not fitting or 2 * len(fitting) < len(samples):
        return None
    ranking = fitting[0].parsed.chosen is not None
    more = {"chosen": "chosen", "rejected": "rejected"} if ranking else kto_column(samples)
    shape = Shape(name, "sharegpt", {"messages": _KEY, **more}, dict(CANONICAL_TAGS), ranking)
    return shape.with_columns({medium: medium for medium in MEDIA}, keys_of(samples))


def _convert(reader: Reader, value: Row, shape: Shape) -> Converted:
    dialogue = _dialogue(reader, value)
    if dialogue is None or shape.ranking != (dialogue.parsed.chosen is not None):
        return Converted(value, flaw="not_text")
    parsed, used = dialogue.parsed, dialogue.used
    if parsed.flaw in STRUCTURAL:
        return Converted(value, flaw=parsed.flaw)
    target = canonical_shape("preference" if shape.ranking else "sft")
    row = {k: v for k, v in canonical_row(parsed, {}, target, target).items() if v or k == _KEY}
    taken = {key for name, key in in_small_letters(value).items() if name in used}
    beside = {k: v for k, v in value.items() if k not in row and k not in taken}
    # Lists of messages that repeat the dialogue are not written again.
    lists = {key: inner for key, inner in beside.items() if are_messages(inner)}
    repeated = lists.keys() - unused_keys(lists, (), parsed)
    beside = {key: inner for key, inner in beside.items() if key not in repeated}
    return Converted({**row, **beside}, dialogue.changes, parsed.flaw, dialogue.unused)


def _format(
    name: str, keys: str, title: str, rank: int, reader: Reader, listed: str = ""
) -> Format:
    detect, convert = partial(_detect, name, reader), partial(_convert, reader)
    return Format(name, keys, rank, detect, convert, _BESIDE, title, listed)


FORMATS = (
    _format("huatuogpt", "data: a list of 问：… and 答：…", "HuatuoGPT", LISTS, huatuogpt),
    _format("meddialog",
            "blocks of text that begin with id=1, or lists of 病人：… and 医生：…",
            "MedDialog", LISTS, meddialog, LISTED),
    _format("pairs", "chosen and rejected: whole dialogues, as messages or Human: … Assistant: …",
            "pairs of dialogues", ITEMS, _pair),
    _format("listed_pairs", "instruction, output: a list of the better and the worse",
            "alpaca with two outputs", LISTS, _listed_responses),
    _format("prompt_messages", "prompt and completion: lists of messages",
            "prompt and completion as messages", LISTS, _prompt_completion),
    _format("exchanges", "conversation: a list of {human, assistant}", "exchanges", LISTS,
            _exchanges),
    _format("moss", "meta_instruction, chat or plain_text", "MOSS", KEYS_ALONE, _moss),
    _format("ultrachat", "data: a list of texts in turn", "texts in turn", KEYS_ALONE,
            _texts_in_turn, "data"),
    _format("calls", "query, tools, answers: calls as JSON", "calls of tools", LISTS, _calls),
    _format("oasst", "message_id, parent_id, text, role", "trees of messages", ITEMS, _tree),
    _format("belle", "instruction: Human: … Assistant: …, output", "BELLE", LISTS,
            _in_instruction),
)  # fmt: skip
