"""Dialogues as public sets have them, where no entry of dataset_info.json could say how.

A reader takes a row, its keys in small letters, and returns what it says, or None for a row of
another layout. The row is then emitted as LLaMA-Factory's sharegpt, its other keys beside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from curate.data.canonical import canonical_row, canonical_shape, parse, tools_of
from curate.data.formats import ITEMS, KEYS_ALONE, LISTS, Format, keys_of, kto_column, messages
from curate.data.formats.dialogues import (
    LISTED,
    MOSS,
    UNFRAMED,
    Dialogue,
    answered,
    huatuogpt,
    is_framed,
    meddialog,
    said_in,
    utterance_of,
)
from curate.data.formats.several_answers import number_of, replies_of
from curate.data.json_values import read_text
from curate.data.lists_in_rows import exchange
from curate.data.row_keys import SYSTEMS, are_messages, folded_row, in_small_letters, unused_keys
from curate.data.schema import CANONICAL_TAGS, MEDIA, STRUCTURAL, Converted, Parsed, Shape, Turn

Row = dict[str, Any]
Reader = Callable[[Row], Dialogue | None]
_KEY = "conversations"
_ASKED = (
    *("prompt", "messages", "conversations", "conversation", "input", "request", "question"),
    "context",
)
_TEXTS = ("text", "chat", "conversation", "dialogue")
_IN_TURN = ("data", "conversations", "conversation", "dialog", "dialogue", "turns")
_TOLD = ("completion", "response", "output", "answer", "reply", "choices")
_BESIDE = {column: column for column in ("system", "tools", *MEDIA)}
_NO_DIALOGUES = ("history", "qas", "faq", "faqs", "instances")  # lists of questions and answers
_RANKED = "answers that others were ranked above left out"


def _in_turn(texts: list[str]) -> tuple[Turn, ...]:
    return tuple(Turn(("user", "assistant")[at % 2], text) for at, text in enumerate(texts))


def first_text(row: Row, *keys: str) -> str:
    return next((key for key in keys if isinstance(row.get(key), str)), "")


def of_messages(value: Any) -> Parsed | None:
    row = {"messages": value}
    shape = messages.detect([row]) if are_messages(value) else None
    if shape is None:
        return None
    parsed = parse(messages.convert(row, shape).row, shape)
    return None if parsed.flaw in STRUCTURAL else parsed


def asked_in(row: Row, names: Iterable[str] = _ASKED) -> tuple[Parsed, str] | None:
    """Return messages that an answer elsewhere is to follow, and the key that holds them."""
    for key in (name for name in names if name in row):
        value = row[key]
        dialogue = value.get("messages") if isinstance(value, dict) else value
        parsed = of_messages(dialogue)
        if parsed and parsed.turns and parsed.turns[-1].role in ("user", "observation"):
            tools = tools_of(value.get("tools")) if isinstance(value, dict) else ""
            return parsed._replace(tools=tools), key
    return None


def _answer_of(value: Any) -> Any:
    """Return the messages of an answer, as a model's server gives it, too."""
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        value = value["choices"]
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, dict) and isinstance(first.get("message"), dict):
        value = first["message"]
    return [value] if isinstance(value, dict) else value


def _prompt_completion(row: Row) -> Dialogue | None:
    asked = asked_in(row)
    name = next((name for name in _TOLD if row.get(name)), "")
    value = _answer_of(row.get(name))
    completion = of_messages(value)
    if asked and (completion or isinstance(value, str)):
        parsed, key = asked
        answer = completion.turns if completion else (Turn("assistant", value),)
        return Dialogue(parsed._replace(turns=(*parsed.turns, *answer), flaw=""), (key, name))
    begins = [turn.role for turn in completion.turns[:1]] if completion else []
    if completion and isinstance(row.get("prompt"), str) and begins == ["assistant"]:
        turns = (Turn("user", row["prompt"]), *completion.turns)
        return Dialogue(Parsed(system=completion.system, turns=turns), ("prompt", name))
    return None


def _exchanges(row: Row) -> Dialogue | None:
    """Read a list of objects that each hold a question and its answer: firefly's and others'."""
    if any(isinstance(row.get(name), str) for name in ("instruction", "question", "prompt")):
        return None  # what is listed belongs to that
    for key, value in row.items():
        if not isinstance(value, list) or not value or key in _NO_DIALOGUES:
            continue
        pairs = [exchange(item) if isinstance(item, dict) else [] for item in value]
        if all(pair and isinstance(pair[0], str) and isinstance(pair[1], str) for pair in pairs):
            return Dialogue(Parsed(turns=_in_turn([text for p in pairs for text in p])), (key,))
    return None


def _moss(row: Row) -> Dialogue | None:
    chat = row.get("chat")
    if isinstance(chat, dict) and chat:
        utterances: list[str] = []
        left: set[str] = set()
        for turn in chat.values():
            if not isinstance(turn, dict) or not {"Human", "MOSS"} <= turn.keys():
                return None
            texts = {name: MOSS.sub("", str(text or "")).strip() for name, text in turn.items()}
            utterances += [texts.pop("Human"), texts.pop("MOSS")]
            left |= {f"{name} of a turn" for name in texts if texts[name] not in ("", "None")}
        return Dialogue(Parsed(turns=_in_turn(utterances)), ("chat",), unused=tuple(sorted(left)))
    return _spoken(row, ("plain_text",))


def _spoken(row: Row, names: Iterable[str] = _TEXTS) -> Dialogue | None:
    """Read a dialogue that is one text, with who speaks or with a template's marks."""
    for name in names:
        parsed = said_in(row.get(name))
        roles = {turn.role for turn in parsed.turns} if parsed else set()
        if parsed and len(parsed.turns) > 1 and {"assistant", "function"} & roles:
            turns, changes = answered(parsed.turns)
            changes += (UNFRAMED,) * is_framed(row[name])
            return Dialogue(parsed._replace(turns=turns), (name,), changes)
    return None


def _texts_in_turn(row: Row) -> Dialogue | None:
    """Read UltraChat's and LIMA's lists: question, answer, question, answer, without who speaks."""
    for key in _IN_TURN:
        texts = row.get(key)
        if not isinstance(texts, list) or len(texts) < 2:
            continue
        if all(isinstance(text, str) and utterance_of(text) is None for text in texts):
            turns, changes = answered(_in_turn(texts))
            return Dialogue(Parsed(turns=turns), (key,), changes)
    return None


def _calls(row: Row) -> Dialogue | None:
    """Read a question whose answers are calls of tools, as xlam has them."""
    name = first_text(row, "query", "question", "instruction", "prompt")
    key = "answers" if "answers" in row else "answer"
    calls, tools = read_text(row.get(key)), row.get("tools")
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
        replies = replies_of(node)
        left += max(0, len(replies) - 1)
        ranks = [number_of(reply.get("rank"), 1) for reply in replies]
        best = min((rank for rank in ranks if rank is not None), default=None)
        node = replies[ranks.index(best)] if replies else None
    path, changes = answered(turns)
    return Dialogue(Parsed(turns=path), ("prompt",), (*changes, *((_RANKED,) if left else ())))


def _in_instruction(row: Row) -> Dialogue | None:
    """Read BELLE's dialogues: all earlier turns stand in the instruction, to be gone on with."""
    answer = first_text(row, "output", "completion", "response", "answer", "target")
    for asked in ("instruction", "prompt", "input", "question", "query"):
        parsed = said_in(row.get(asked))
        beside = [name for name in ("instruction", "input") if name != asked and row.get(name)]
        if not parsed or not answer or beside:
            continue
        *turns, last = parsed.turns
        if turns and last == Turn("assistant", ""):
            dialogue = parsed._replace(turns=(*turns, Turn("assistant", row[answer])))
            changes = (UNFRAMED,) * is_framed(row[asked])
            return Dialogue(dialogue, (asked, answer, "input"), changes)
    return None


def _dialogue(reader: Reader, value: Row) -> Dialogue | None:
    row = folded_row(value)
    dialogue = reader(row)
    if dialogue is None or dialogue.parsed.system:
        return dialogue
    key = first_text(row, *SYSTEMS)
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


def dialogue_format(
    name: str, keys: str, title: str, rank: int, reader: Reader, listed: str = ""
) -> Format:
    detect, convert = partial(_detect, name, reader), partial(_convert, reader)
    return Format(name, keys, rank, detect, convert, _BESIDE, title, listed)


FORMATS = (
    dialogue_format("huatuogpt", "data: a list of 问：… and 答：…", "HuatuoGPT", LISTS, huatuogpt),
    dialogue_format("meddialog",
            "blocks of text that begin with id=1, or lists of 病人：… and 医生：…",
            "MedDialog", LISTS, meddialog, LISTED),
    dialogue_format("prompt_messages", "prompt and completion: lists of messages",
            "prompt and completion as messages", ITEMS, _prompt_completion),
    dialogue_format("exchanges", "conversation: a list of {human, assistant}", "exchanges", LISTS,
            _exchanges),
    dialogue_format("moss", "meta_instruction, chat or plain_text", "MOSS", KEYS_ALONE, _moss),
    dialogue_format("spoken", "text: Human: … Assistant: …, or the marks of a template",
                    "dialogues in a text", KEYS_ALONE, _spoken),
    dialogue_format("ultrachat", "data: a list of texts in turn", "texts in turn", KEYS_ALONE,
            _texts_in_turn, "data"),
    dialogue_format("calls", "query, tools, answers: calls as JSON", "calls of tools", LISTS,
                    _calls),
    dialogue_format("oasst", "message_id, parent_id, text, role", "trees of messages", ITEMS,
                    _tree),
    dialogue_format("belle", "instruction: Human: … Assistant: …, output", "BELLE", LISTS,
            _in_instruction),
)  # fmt: skip
