"""From a loaded row to messages, as LLaMA-Factory's three converters do it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from curate.llamafactory.dataset_info import Attributes
from curate.llamafactory.doctor.findings import Ends

Message = dict[str, Any]
# Roles by the place of a message: those who ask at even places, those who answer at odd ones.
SIDES = (("user", "observation"), ("assistant", "function"))
_MEDIA = ("images", "videos", "audios")
# What the openai converter adds to the system prompt of every row that has no tools.
_ADDED = "detailed thinking off"
_BETWEEN_RESULTS = "\n</tool_response>\n<tool_response>\n"


@dataclass
class Example:
    """A row as the converter leaves it, before the stage is looked at."""

    prompt: list[Message]  # before the response
    response: list[Message]  # none, one, or two to compare
    system: Any = ""
    tools: Any = ""
    rule: str = ""  # why the row has no response, or no pair
    losses: list[str] = field(default_factory=list)  # rules of what was lost or added on the way
    media: dict[str, list[Any]] = field(default_factory=dict)  # column to pictures, videos, sounds


def message(role: Any, content: Any) -> Message:
    return {"role": role, "content": content}


def alpaca(row: dict[str, Any], attr: Attributes) -> Example:
    parts = [part for part in (_column(row, attr, each) for each in ("prompt", "query")) if part]
    if not all(isinstance(part, str) for part in parts):
        raise Ends("prompt_not_text", "TypeError: sequence item: expected str instance")
    earlier = _history(_column(row, attr, "history"))
    response, rule = _alpaca_response(row, attr)
    example = Example([*earlier, message("user", "\n".join(parts))], response, rule=rule)
    system, tools = (_column(row, attr, each) for each in ("system", "tools"))
    return _completed(example, row, attr, system, tools)


def sharegpt(row: dict[str, Any], attr: Attributes) -> Example:
    system, turns = _opened(row, attr)
    tags, roles = attr.tags, _roles(attr)
    aligned: list[Message] = []
    rule = ""
    for place, turn in enumerate(turns):
        word = _part(turn, tags["role_tag"])
        if word not in [tags[f"{role}_tag"] for role in SIDES[place % 2]]:
            known = [tags[f"{role}_tag"] for role in (*SIDES[0], *SIDES[1], "system")]
            if word is None or word not in known:
                rule = "unknown_role"
            else:
                answers = [tags[f"{role}_tag"] for role in SIDES[1]]
                rule = "gpt_first" if place == 0 and word in answers else "wrong_turn_order"
            break
        aligned.append(message(roles[word], _part(turn, tags["content_tag"])))
    example = _split(row, attr, aligned, rule, bool(turns))
    return _completed(example, row, attr, system, _column(row, attr, "tools"))


def openai(row: dict[str, Any], attr: Attributes) -> Example:
    system, turns = _opened(row, attr)
    aligned, results_left = _openai_turns(turns, attr)
    rule = ""
    for place, turn in enumerate(aligned):
        if turn["role"] not in SIDES[place % 2]:
            answers = place == 0 and turn["role"] in SIDES[1]
            rule = "gpt_first" if answers else "wrong_turn_order"
            break
    example = _split(row, attr, aligned, rule, bool(turns))
    if results_left:
        example.losses.append("observation_at_end")
    key = attr.columns["tools"]
    tools = row.get(key, "") if key else ""
    tools = json.dumps(tools, ensure_ascii=False) if isinstance(tools, dict | list) else tools
    if system and not isinstance(system, str):
        raise Ends("system_not_text", f"TypeError: the system prompt is {type(system).__name__}")
    if tools:
        system = system + "\n" if system else system
    elif not (system and (_ADDED in system or "detailed thinking on" in system)):
        example.losses.append("openai_system_prompt")
        system = f"{system}\n{_ADDED}" if system else _ADDED
    return _completed(example, row, attr, system, tools)


CONVERTERS = {"alpaca": alpaca, "sharegpt": sharegpt, "openai": openai}


def _cell(row: dict[str, Any], key: Any) -> Any:
    if key is None:
        raise Ends("column_unnamed", "KeyError: None")
    try:
        return row[key]
    except (KeyError, TypeError):
        raise Ends("missing_column", f"KeyError: {key!r}") from None


def _column(row: dict[str, Any], attr: Attributes, column: str) -> Any:
    key = attr.columns[column]
    return _cell(row, key) if key else ""


def _completed(
    example: Example, row: dict[str, Any], attr: Attributes, system: Any, tools: Any
) -> Example:
    """Return a row with what stands beside its messages."""
    example.system, example.tools = system, tools
    for column in _MEDIA:
        value = _column(row, attr, column) if attr.columns[column] else None
        if value is not None and value != []:
            example.media[column] = value if isinstance(value, list) else [value]
    return example


def _verdict(row: dict[str, Any], attr: Attributes) -> bool | None:
    value = _column(row, attr, "kto_tag")
    return value if isinstance(value, bool) else None


def _beside_empty(answer: list[Message], good: bool) -> list[Message]:
    if any(not isinstance(each["content"], str | None) for each in answer):
        raise Ends("not_text", "the response is no text")
    empty = [message("assistant", "")]
    return answer + empty if good else empty + answer


def _history(history: Any) -> list[Message]:
    turns: list[Message] = []
    for pair in history if isinstance(history, list) else ():
        try:
            prompt, response = pair
        except (TypeError, ValueError) as problem:
            raise Ends("bad_history", f"{type(problem).__name__}: {problem}") from None
        if not all(isinstance(text, str | None) for text in (prompt, response)):
            raise Ends("not_text", "ArrowInvalid: could not convert")  # texts stand beside it
        turns += [message("user", prompt), message("assistant", response)]
    return turns


def _alpaca_response(row: dict[str, Any], attr: Attributes) -> tuple[list[Message], str]:
    good = _verdict(row, attr)
    if good is not None:
        answer = message("assistant", _cell(row, attr.columns["response"]))
        return _beside_empty([answer], good), ""
    if attr.ranking:
        # The second is not looked at where the first is no text.
        pair = [_cell(row, attr.columns["chosen"])]
        if isinstance(pair[0], str):
            pair.append(_cell(row, attr.columns["rejected"]))
            if isinstance(pair[1], str):
                return [message("assistant", text) for text in pair], ""
    key = attr.columns["response"]
    response = _cell(row, key) if key else None
    rule = "not_a_pair" if attr.ranking else "" if key else "no_response"
    if isinstance(response, str):
        return [message("assistant", response)], rule
    return [], rule or "response_not_text"


def _opened(row: dict[str, Any], attr: Attributes) -> tuple[Any, list[Any]]:
    if attr.columns["messages"] is None:
        raise Ends("messages_unnamed", "KeyError: None")
    turns = _cell(row, attr.columns["messages"])
    if turns == "" or turns == {}:
        turns = []
    if not isinstance(turns, list):
        raise Ends("bad_messages", f"TypeError: the messages are of type {type(turns).__name__}")
    tag = attr.tags["system_tag"]
    if tag and turns and _part(turns[0], attr.tags["role_tag"]) == tag:
        return _part(turns[0], attr.tags["content_tag"]), turns[1:]
    if attr.formatting == "openai":
        key = attr.columns["system"]
        return (row.get(key, "") if key else ""), turns
    return _column(row, attr, "system"), turns


def _part(turn: Any, key: Any) -> Any:
    if not isinstance(turn, dict) or key not in turn:
        raise Ends("bad_messages", f"KeyError: {key!r}")
    return turn[key]


def _roles(attr: Attributes) -> dict[Any, str]:
    order = ("user", "assistant", "observation", "function", "system")
    try:
        return {attr.tags[f"{role}_tag"]: role for role in order}
    except TypeError:
        raise Ends("entry_broken", "a tag is no text") from None


def _role(word: Any, roles: dict[Any, str]) -> str:
    if not isinstance(word, str | None) or word not in roles:
        raise Ends("unknown_role_stops", f"KeyError: {word!r}")
    return roles[word]


def _split(
    row: dict[str, Any], attr: Attributes, aligned: list[Message], rule: str, any_turns: bool
) -> Example:
    """Return what aligned messages become: prompt and response, or nothing."""
    odd = bool(len(aligned) % 2)
    if rule or odd != bool(attr.ranking):
        return Example([], [], rule=rule or ("odd_turns" if any_turns else "empty_messages"))
    rule = "" if aligned else "empty_messages"
    good = _verdict(row, attr)
    if good is not None:
        return Example(aligned[:-1], _beside_empty(aligned[-1:], good), rule=rule)
    if attr.ranking:
        chosen = _cell(row, attr.columns["chosen"])
        rejected = _cell(row, attr.columns["rejected"]) if isinstance(chosen, dict) else None
        if not isinstance(chosen, dict) or not isinstance(rejected, dict):
            rule = "bare_responses" if isinstance(chosen, str) else "not_a_pair"
            return Example(aligned[:-1], aligned[-1:], rule=rule)
        roles, pair = _roles(attr), []
        for answer in (chosen, rejected):
            word, content = (_part(answer, attr.tags[tag]) for tag in ("role_tag", "content_tag"))
            pair.append(message(_role(word, roles), content))
        losses = ["response_role"] if any(answer["role"] in SIDES[0] for answer in pair) else []
        return Example(aligned, pair, losses=losses)
    return Example(aligned[:-1], aligned[-1:], rule=rule)


def _openai_turns(turns: list[Any], attr: Attributes) -> tuple[list[Message], bool]:
    tags, roles = attr.tags, _roles(attr)
    aligned: list[Message] = []
    results: list[Any] = []
    for turn in turns:
        word, content = _part(turn, tags["role_tag"]), _part(turn, tags["content_tag"])
        if word in (tags["assistant_tag"], tags["function_tag"]) and turn.get("tool_calls"):
            word = tags["function_tag"]
            try:
                calls = [call["function"] for call in turn["tool_calls"]]
                content = json.dumps(calls, ensure_ascii=False)
            except (KeyError, TypeError) as problem:
                raise Ends("call_not_json", f"{type(problem).__name__}: {problem}") from None
        if word == tags["observation_tag"]:
            results.append(content)
            continue
        if results:
            if not all(isinstance(result, str) for result in results):
                raise Ends("not_text", "TypeError: sequence item: expected str instance")
            aligned.append(message("observation", _BETWEEN_RESULTS.join(results)))
            results = []
        aligned.append(message(_role(word, roles), content))
    return aligned, bool(results)
