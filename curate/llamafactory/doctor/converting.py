"""From a loaded row to messages, as LLaMA-Factory's alpaca and sharegpt converters do it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from curate.llamafactory.doctor.attributes import Attributes
from curate.llamafactory.doctor.rules import Ends

Message = dict[str, Any]
# Roles by the place of a message: those who ask at even places, those who answer at odd ones.
SIDES = (("user", "observation"), ("assistant", "function"))


@dataclass
class Made:
    """What a row becomes before the stage is looked at.

    Attributes:
        prompt: Messages before the response.
        response: None, one, or two to compare.
        system: System prompt.
        tools: Descriptions of tools.
        rule: Why the row has no response, or no pair, '' if it has.
        losses: Rules of what was lost or added on the way.
    """

    prompt: list[Message]
    response: list[Message]
    system: Any = ""
    tools: Any = ""
    rule: str = ""
    losses: list[str] = field(default_factory=list)


def message(role: Any, content: Any) -> Message:
    """Return a message."""
    return {"role": role, "content": content}


def cell(value: dict[str, Any], key: Any) -> Any:
    """Return a column of a row."""
    if key is None:
        raise Ends("column_unnamed", "KeyError: None")
    try:
        return value[key]
    except (KeyError, TypeError):
        raise Ends("missing_column", f"KeyError: {key!r}") from None


def beside(value: dict[str, Any], attr: Attributes, column: str) -> Any:
    """Return a column that an entry may leave out, '' where it does."""
    key = attr.columns[column]
    return cell(value, key) if key else ""


def verdict(value: dict[str, Any], attr: Attributes) -> bool | None:
    """Return KTO's verdict, None where LLaMA-Factory sees none."""
    found = beside(value, attr, "kto_tag")
    return found if isinstance(found, bool) else None


def judged(answer: list[Message], good: bool) -> list[Message]:
    """Return a response and the empty one beside it, whose place tells the verdict."""
    if any(not isinstance(each["content"], str | None) for each in answer):
        raise Ends("not_text", "the response is no text")
    empty = [message("assistant", "")]
    return answer + empty if good else empty + answer


def alpaca(value: dict[str, Any], attr: Attributes) -> Made:
    """Return what a row becomes under `formatting: alpaca`."""
    asked = [beside(value, attr, column) for column in ("prompt", "query")]
    parts = [part for part in asked if part]
    if not all(isinstance(part, str) for part in parts):
        raise Ends("prompt_not_text", "TypeError: sequence item: expected str instance")
    prompt = [*_earlier(beside(value, attr, "history")), message("user", "\n".join(parts))]
    response, rule = _alpaca_response(value, attr)
    return _with_rest(Made(prompt, response, rule=rule), value, attr)


def _with_rest(made: Made, value: dict[str, Any], attr: Attributes) -> Made:
    """Add what does not depend on the messages."""
    if attr.formatting == "alpaca":
        made.system = beside(value, attr, "system")
    made.tools = beside(value, attr, "tools")
    if any([beside(value, attr, column) for column in ("images", "videos", "audios")]):
        made.losses.append("media")
    return made


def _earlier(history: Any) -> list[Message]:
    found: list[Message] = []
    for pair in history if isinstance(history, list) else ():
        try:
            asked, answered = pair
        except (TypeError, ValueError) as problem:
            raise Ends("bad_history", f"{type(problem).__name__}: {problem}") from None
        if not all(isinstance(text, str | None) for text in (asked, answered)):
            raise Ends("not_text", "ArrowInvalid: could not convert")  # texts stand beside it
        found += [message("user", asked), message("assistant", answered)]
    return found


def _alpaca_response(value: dict[str, Any], attr: Attributes) -> tuple[list[Message], str]:
    good = verdict(value, attr)
    if good is not None:
        answer = message("assistant", cell(value, attr.columns["response"]))
        return judged([answer], good), ""
    if attr.ranking:
        # The second is not looked at where the first is no text.
        first = cell(value, attr.columns["chosen"])
        pair = [first, cell(value, attr.columns["rejected"])] if isinstance(first, str) else [first]
        if len(pair) == 2 and isinstance(pair[1], str):
            return [message("assistant", text) for text in pair], ""
    key = attr.columns["response"]
    answered = cell(value, key) if key else None
    rule = "not_a_pair" if attr.ranking else "" if key else "no_response"
    if isinstance(answered, str):
        return [message("assistant", answered)], rule
    return [], rule or "response_not_text"


def sharegpt(value: dict[str, Any], attr: Attributes) -> Made:
    """Return what a row becomes under `formatting: sharegpt`."""
    system, said = opened(value, attr)
    tags, roles = attr.tags, roles_of(attr)
    aligned: list[Message] = []
    rule = ""
    for place, each in enumerate(said):
        word = part(each, tags["role_tag"])
        if word not in [tags[f"{side}_tag"] for side in SIDES[place % 2]]:
            rule = _misplaced(word, place, attr)
            break
        aligned.append(message(roles[word], part(each, tags["content_tag"])))
    made = finished(value, attr, aligned, rule, bool(said))
    made.system = system
    return _with_rest(made, value, attr)


def _misplaced(word: Any, place: int, attr: Attributes) -> str:
    known = [attr.tags[f"{role}_tag"] for role in (*SIDES[0], *SIDES[1], "system")]
    if word is None or word not in known:
        return "unknown_role"
    answers = [attr.tags[f"{role}_tag"] for role in SIDES[1]]
    return "gpt_first" if place == 0 and word in answers else "wrong_turn_order"


def opened(value: dict[str, Any], attr: Attributes) -> tuple[Any, list[Any]]:
    """Return the system prompt and the messages after it."""
    if attr.columns["messages"] is None:
        raise Ends("messages_unnamed", "KeyError: None")
    said = cell(value, attr.columns["messages"])
    if said == "" or said == {}:
        said = []
    if not isinstance(said, list):
        raise Ends("bad_messages", f"TypeError: the messages are of type {type(said).__name__}")
    tag = attr.tags["system_tag"]
    if tag and said and part(said[0], attr.tags["role_tag"]) == tag:
        return part(said[0], attr.tags["content_tag"]), said[1:]
    if attr.formatting == "openai":
        key = attr.columns["system"]
        return (value.get(key, "") if key else ""), said
    return beside(value, attr, "system"), said


def part(each: Any, key: Any) -> Any:
    """Return role or text of a message."""
    if not isinstance(each, dict) or key not in each:
        raise Ends("bad_messages", f"KeyError: {key!r}")
    return each[key]


def roles_of(attr: Attributes) -> dict[Any, str]:
    """Return word to role; of two roles with one word, or none, the last one wins."""
    order = ("user", "assistant", "observation", "function", "system")
    try:
        return {attr.tags[f"{role}_tag"]: role for role in order}
    except TypeError:
        raise Ends("entry_broken", "a tag is no text") from None


def finished(
    value: dict[str, Any], attr: Attributes, aligned: list[Message], rule: str, any_said: bool
) -> Made:
    """Return what aligned messages become: prompt and response, or nothing."""
    odd = bool(len(aligned) % 2)
    if rule or odd != bool(attr.ranking):
        return Made([], [], rule=rule or ("odd_turns" if any_said else "empty_messages"))
    good = verdict(value, attr)
    if good is not None:
        answers = judged(aligned[-1:], good)
        return Made(aligned[:-1], answers, rule="" if aligned else "empty_messages")
    if attr.ranking:
        chosen = cell(value, attr.columns["chosen"])
        rejected = cell(value, attr.columns["rejected"]) if isinstance(chosen, dict) else None
        if isinstance(chosen, dict) and isinstance(rejected, dict):
            pair = [_compared(each, attr) for each in (chosen, rejected)]
            losses = ["response_role"] if any(each["role"] in SIDES[0] for each in pair) else []
            return Made(aligned, pair, losses=losses)
        bare = isinstance(chosen, str)
        return Made(aligned[:-1], aligned[-1:], rule="bare_responses" if bare else "not_a_pair")
    return Made(aligned[:-1], aligned[-1:], rule="" if aligned else "empty_messages")


def _compared(each: dict[str, Any], attr: Attributes) -> Message:
    word, content = (part(each, attr.tags[tag]) for tag in ("role_tag", "content_tag"))
    roles = roles_of(attr)
    if not isinstance(word, str | None) or word not in roles:
        raise Ends("unknown_role_stops", f"KeyError: {word!r}")
    return message(roles[word], content)
