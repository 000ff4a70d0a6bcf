"""Dialogues as public sets have them, where no entry of dataset_info.json could say how.

A reader takes a row, its keys in small letters, and returns what it says, or None for a row of
another layout. The row is then emitted as LLaMA-Factory's sharegpt, its other keys beside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from curate.data.canonical import canonical_row, canonical_shape, parse, tools_of
from curate.data.formats import ITEMS, KEYS_ALONE, LISTS, Format, keys_of, kto_column, messages
from curate.data.formats.dialogues import ANSWERS, ASKS, TRIMMED, utterance_of
from curate.data.row_keys import SYSTEMS, are_messages, folded, is_about, unused_keys
from curate.data.schema import CANONICAL_TAGS, MEDIA, STRUCTURAL, Converted, Parsed, Shape, Turn

Row = dict[str, Any]
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
_DIFFER = "prompts_differ"
_RANKED = "answers that others were ranked above left out"


class Dialogue(NamedTuple):
    """What a row says, the keys it says it in, what was changed and what was left out."""

    parsed: Parsed
    used: tuple[str, ...]
    changes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


Reader = Callable[[Row], Dialogue | None]


def _in_turn(texts: Iterable[str]) -> tuple[Turn, ...]:
    return tuple(
        Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(texts)
    )


def _answered(turns: tuple[Turn, ...]) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """Return turns without a question at the end that nobody answers, and what was changed."""
    if len(turns) > 1 and turns[-1].role == "user":
        return turns[:-1], (TRIMMED,)
    return turns, ()


def _of_messages(value: Any) -> Parsed | None:
    """Return what a list of messages says, None if it is none."""
    if not are_messages(value):
        return None
    row = {"messages": value}
    shape = messages.detect([row])
    if shape is None:
        return None
    parsed = parse(messages.convert(row, shape).row, shape)
    return None if parsed.flaw in STRUCTURAL else parsed


def _of_text(value: Any) -> Parsed | None:
    """Return the dialogue in a text whose parts begin with who speaks, None if it is none."""
    if not isinstance(value, str) or not _SPEAKER.match(value):
        return None
    _, *parts = _SPEAKER.split(value)
    roles = ("user" if who in ("Human", "User") else "assistant" for who in parts[::2])
    texts = (_MOSS.sub("", text).strip() for text in parts[1::2])
    return Parsed(turns=tuple(map(Turn, roles, texts)))


def _system(row: Row) -> tuple[str, tuple[str, ...]]:
    key = next((name for name in SYSTEMS if isinstance(row.get(name), str)), "")
    return row.get(key, ""), (key,)


def _pair(row: Row) -> Dialogue | None:
    """Read two whole dialogues that differ in their last answer."""
    for names in _PAIRS:
        chosen, rejected = (_of_messages(row.get(n)) or _of_text(row.get(n)) for n in names)
        if chosen and rejected and chosen.turns and rejected.turns:
            break
    else:
        return None
    before, used = chosen.turns[:-1], list(names)
    asked = _of_messages(row.get("prompt"))
    if asked and before[: len(asked.turns)] != asked.turns:
        before = (*asked.turns, *before)
    elif not before:
        if any(are_messages(value) for key, value in row.items() if key not in names):
            return None  # messages with two responses to them
        text = next((row[k] for k in ("prompt", "question") if isinstance(row.get(k), str)), "")
        before = (Turn("user", text),) if text else ()
    if chosen.turns[-1].role != "assistant" or rejected.turns[-1].role != "assistant":
        return None
    system, key = _system(row)
    parsed = Parsed(
        system=chosen.system or (asked.system if asked else "") or system,
        turns=before,
        chosen=chosen.turns[-1].content,
        rejected=rejected.turns[-1].content,
        flaw="" if chosen.turns[:-1] == rejected.turns[:-1] else _DIFFER,
    )
    return Dialogue(parsed, (*used, *key, *(("prompt",) if asked else ())))


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
    """Read a prompt and a completion of which at least one is a list of messages."""
    name = next((name for name in ("completion", "response") if name in row), "")
    asked, answered = _of_messages(row.get("prompt")), _of_messages(row.get(name))
    if not asked and not answered:
        return None
    turns: list[Turn] = []
    for parsed, key, role in ((asked, "prompt", "user"), (answered, name, "assistant")):
        text = row.get(key)
        if not parsed and not isinstance(text, str):
            return None
        turns += parsed.turns if parsed else [Turn(role, str(text))]
    system, named = _system(row)
    system = (asked.system if asked else "") or system
    return Dialogue(Parsed(system=system, turns=tuple(turns)), ("prompt", name, *named))


def _exchanges(row: Row) -> Dialogue | None:
    """Read a list of objects that each hold a question and its answer: firefly's and others'."""
    for key, value in row.items():
        if not isinstance(value, list) or not value or key == "history":
            continue
        turns: list[Turn] = []
        for item in value:
            names = {folded(name): name for name in item} if isinstance(item, dict) else {}
            asks = [names[name] for name in names if name in _ASKING]
            answers = [names[name] for name in names if name in _ANSWERING]
            texts = [item[name] for name in (*asks, *answers)]
            if [len(asks), len(answers)] != [1, 1] or not all(isinstance(t, str) for t in texts):
                break
            turns += [Turn("user", texts[0]), Turn("assistant", texts[1])]
        else:
            system, name = _system(row)
            return Dialogue(Parsed(system=system, turns=tuple(turns)), (key, *name))
    return None


def _moss(row: Row) -> Dialogue | None:
    """Read MOSS's turns, or its older text of all of them."""
    system, key = _system(row)
    chat = row.get("chat")
    if isinstance(chat, dict) and chat:
        said: list[str] = []
        left: set[str] = set()
        for turn in chat.values():
            if not isinstance(turn, dict) or not {"Human", "MOSS"} <= turn.keys():
                return None
            texts = {name: _MOSS.sub("", str(text or "")).strip() for name, text in turn.items()}
            said += [texts.pop("Human"), texts.pop("MOSS")]
            left |= {
                f"{name} of a turn" for name, text in texts.items() if text not in ("", "None")
            }
        parsed = Parsed(system=system, turns=_in_turn(said))
        return Dialogue(parsed, ("chat", *key), unused=tuple(sorted(left)))
    for name in ("plain_text", "text"):
        parsed_text = _of_text(row.get(name))
        if parsed_text and len(parsed_text.turns) > 1:
            turns, changes = _answered(parsed_text.turns)
            return Dialogue(Parsed(system=system, turns=turns), (name, *key), changes)
    return None


def _texts_in_turn(row: Row) -> Dialogue | None:
    """Read UltraChat's lists: question, answer, question, answer, without who speaks."""
    texts = row.get("data")
    if not isinstance(texts, list) or len(texts) < 2:
        return None
    if not all(isinstance(text, str) and utterance_of(text) is None for text in texts):
        return None
    turns, changes = _answered(_in_turn(texts))
    return Dialogue(Parsed(turns=turns), ("data",), changes)


def _calls(row: Row) -> Dialogue | None:
    """Read a question whose answers are calls of tools, as xlam has them."""
    asks = ("query", "question", "instruction", "prompt")
    name = next((name for name in asks if isinstance(row.get(name), str)), "")
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
    system, beside = _system(row)
    parsed = Parsed(system=system, turns=turns, tools=tools_of(tools))
    return Dialogue(parsed, (name, key, "tools", *beside))


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
    path, changes = _answered(tuple(turns))
    more = (_RANKED,) if left else ()
    return Dialogue(Parsed(turns=path), ("prompt",), (*changes, *more))


def _in_instruction(row: Row) -> Dialogue | None:
    """Read BELLE's dialogues: all earlier turns stand in the instruction."""
    for asked, answer in (("instruction", "output"), ("prompt", "completion")):
        parsed, text = _of_text(row.get(asked)), row.get(answer)
        if not parsed or not isinstance(text, str) or row.get("input"):
            continue
        turns = parsed.turns
        if len(turns) > 1 and turns[-1].role == "assistant" and not turns[-1].content:
            last = Turn("assistant", text)
            return Dialogue(Parsed(turns=(*turns[:-1], last)), (asked, answer, "input"))
    return None


def _small(row: Row) -> Row:
    return {folded(key): value for key, value in row.items()}


def _detect(name: str, reader: Reader, samples: list[Row]) -> Shape | None:
    dialogues = [dialogue for row in samples if (dialogue := reader(_small(row)))]
    if not dialogues or 2 * len(dialogues) < len(samples):
        return None
    ranking = dialogues[0].parsed.chosen is not None
    more = {"chosen": "chosen", "rejected": "rejected"} if ranking else kto_column(samples)
    shape = Shape(name, "sharegpt", {"messages": _KEY, **more}, dict(CANONICAL_TAGS), ranking)
    keys = keys_of(samples)
    return shape.with_columns({medium: medium for medium in MEDIA}, keys)


def _convert(reader: Reader, value: Row, shape: Shape) -> Converted:
    dialogue = reader(_small(value))
    if dialogue is None or shape.ranking != (dialogue.parsed.chosen is not None):
        return Converted(value, flaw="not_text")
    target = canonical_shape("preference" if shape.ranking else "sft")
    parsed = replace(dialogue.parsed, verdict=None)
    row = {k: v for k, v in canonical_row(parsed, {}, target, target).items() if v or k == _KEY}
    beside = {k: v for k, v in value.items() if folded(k) not in dialogue.used and k not in row}
    spare = unused_keys(beside, (), parsed)
    # What repeats the dialogue is not written again.
    beside = {
        k: v
        for k, v in beside.items()
        if k in spare or is_about(k) or not isinstance(v, str | list)
    }
    return Converted({**row, **beside}, dialogue.changes, parsed.flaw, dialogue.unused)


class Line(NamedTuple):
    """A layout: its name, keys and title for people, how deep it looks, and what reads it."""

    name: str
    keys: str
    title: str
    rank: int
    reader: Reader
    listed: str = ""


LINES = (
    Line("pairs", "chosen and rejected: whole dialogues, as messages or Human: … Assistant: …",
         "pairs of dialogues", ITEMS, _pair),
    Line("listed_pairs", "instruction, output: a list of the better and the worse",
         "alpaca with two outputs", LISTS, _listed_responses),
    Line("prompt_messages", "prompt and completion: lists of messages",
         "prompt and completion as messages", LISTS, _prompt_completion),
    Line("exchanges", "conversation: a list of {human, assistant}",
         "exchanges", LISTS, _exchanges),
    Line("moss", "meta_instruction, chat or plain_text", "MOSS", KEYS_ALONE, _moss),
    Line("ultrachat", "data: a list of texts in turn", "texts in turn", KEYS_ALONE,
         _texts_in_turn, "data"),
    Line("calls", "query, tools, answers: calls as JSON", "calls of tools", LISTS, _calls),
    Line("oasst", "message_id, parent_id, text, role", "trees of messages", ITEMS, _tree),
    Line("belle", "instruction: Human: … Assistant: …, output", "BELLE", LISTS, _in_instruction),
)  # fmt: skip

FORMATS = tuple(
    Format(
        name=line.name,
        keys=line.keys,
        rank=line.rank,
        detect=partial(_detect, line.name, line.reader),
        convert=partial(_convert, line.reader),
        optional=_BESIDE,
        title=line.title,
        listed=line.listed,
    )
    for line in LINES
)
