"""Bodies of requests: read, checked, and made such that every engine means the same by them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from curate.errors import did_you_mean
from deploy.gate.offer import Offer, Refused

CHAT = "messages"
TEXT = "prompt"
COMMON = ("model", "max_tokens", "temperature", "top_p", "stream")
# Other programs' names, and ours for them.
_OTHER_NAMES = {"max_new_tokens": "max_tokens", "max_completion_tokens": "max_tokens"}
# What may be said where it changes nothing, to an engine that has no such thing.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "stop": ([], ""),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "logprobs": (False,),
    "top_k": (0, -1),
    "echo": (False,),
    "tools": ([],),
    "tool_choice": ("none",),
    "response_format": ({"type": "text"},),
}
# About the asker, or about what comes after the answer; nothing about the answer itself.
_IDLE = ("user", "metadata", "store", "stream_options")
_ROLES = ("system", "user", "assistant")
_RANGES: Mapping[str, tuple[float, float, str]] = {
    "temperature": (0, 2, "a number from 0 (always the most likely token) to 2"),
    "top_p": (1e-6, 1, "a number above 0, up to 1"),
}


@dataclass(frozen=True)
class Taken:
    """A request that an engine can be given.

    Attributes:
        fields: Of the request; nothing is left to the engine's defaults.
        notes: What was taken for something else than it said, for people.
    """

    fields: dict[str, Any]
    notes: tuple[str, ...] = ()


def take(raw: bytes, kind: str, offer: Offer, count: Callable[[str], int]) -> Taken:
    """Check a request.

    Args:
        raw: The body.
        kind: CHAT or TEXT, the field that has to be there.
        offer: What the server takes.
        count: Tokens of a text.

    Raises:
        Refused: It is no JSON object, or a field is missing, unknown, or out of range.

    Example:
        >>> taken = take(b'{"messages": [{"role": "user", "content": "Hi"}], "max_new_tokens": 5}',
        ...              CHAT, Offer("hf", ("smollm2",)), len)
        >>> taken.fields["max_tokens"], taken.notes
        (5, ('max_new_tokens was taken as max_tokens',))
    """
    fields = {name: value for name, value in _object(raw).items() if value is not None}
    notes: list[str] = []
    _rename(fields, notes)
    _drop_idle(fields, offer, notes)
    known = (kind, *COMMON, *sorted(offer.fields))
    for name in fields:
        if name not in known:
            _no(
                f"'{name}' is nothing that engine {offer.engine} understands here."
                f"{did_you_mean(name, known)} It takes {', '.join(known)}",
                "unknown_field",
            )
    if kind not in fields:
        _no(f"'{kind}' is missing", "missing_field")
    prompt = _prompt(fields, kind)
    _model(fields, offer)
    _numbers(fields, offer)
    _tokens(fields, offer, sum(map(count, prompt)), len(prompt))
    return Taken(fields, tuple(notes))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw, parse_constant=_no_constant)
    except RecursionError:
        _no("the body is nested too deep", "not_json")
    except ValueError as error:  # also UnicodeDecodeError
        _no(f"the body is not JSON in UTF-8: {error}", "not_json")
    if not isinstance(found, dict):
        _no('the body has to be a JSON object, such as {"messages": [...]}', "not_json")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _rename(fields: dict[str, Any], notes: list[str]) -> None:
    for other, ours in _OTHER_NAMES.items():
        if other in fields:
            value = fields.pop(other)
            if fields.get(ours, value) != value:
                _no(f"'{other}' and '{ours}' say different things; give one of them")
            fields[ours] = value
            notes.append(f"{other} was taken as {ours}")
    if "do_sample" in fields:
        sample = fields.pop("do_sample")
        if not isinstance(sample, bool):
            _no("'do_sample' has to be true or false")
        if not sample:
            if fields.get("temperature", 0) != 0:
                _no("'do_sample' false means temperature 0, and 'temperature' says another")
            fields["temperature"] = 0
            notes.append("do_sample false was taken as temperature 0")


def _drop_idle(fields: dict[str, Any], offer: Offer, notes: list[str]) -> None:
    for name in list(fields):
        if name in offer.fields:
            continue
        if name in _IDLE:
            del fields[name]
            notes.append(f"{name} was left out: engine {offer.engine} has no use for it")
        elif name in _NEUTRAL and fields[name] in _NEUTRAL[name]:
            del fields[name]


def _prompt(fields: dict[str, Any], kind: str) -> list[str]:
    """Check what is asked, and return its texts."""
    if kind == TEXT:
        if not isinstance(fields[TEXT], str) or not fields[TEXT]:
            _no("'prompt' has to be a text")
        return [_encodable(fields[TEXT])]
    messages = fields[CHAT]
    if not isinstance(messages, list) or not messages:
        _no('\'messages\' has to be a list such as [{"role": "user", "content": "..."}]')
    fields[CHAT] = [_message(each, at) for at, each in enumerate(messages, 1)]
    roles = [each["role"] for each in fields[CHAT]]
    turns = roles[1:] if roles[0] == "system" else roles
    if not turns or turns != [("user", "assistant")[at % 2] for at in range(len(turns))]:
        _no(f"'messages' has to be user, assistant, user ..., a system first if any; it is {roles}")
    if turns[-1] != "user":
        _no("the last message has to be the user's")
    return [each["content"] for each in fields[CHAT]]


def _message(told: Any, number: int) -> dict[str, str]:
    if not isinstance(told, dict):
        _no(f"message {number} has to be an object with role and content")
    if told.get("role") not in _ROLES:
        _no(f"message {number}: its role has to be one of {', '.join(_ROLES)}")
    if extra := sorted(set(told) - {"role", "content", "name"}):
        _no(f"message {number}: '{extra[0]}' is not understood; it takes role and content")
    content = told.get("content")
    if isinstance(content, list):
        texts = [each.get("text") for each in content if _is_text(each)]
        if len(texts) != len(content):
            _no(f"message {number}: parts other than text are not taken")
        content = "\n".join(map(str, texts))
    if not isinstance(content, str):
        _no(f"message {number}: its content has to be a text")
    return {"role": told["role"], "content": _encodable(content)}


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and type(part.get("text")) is str


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        _no("a message or prompt holds half a character (a lone surrogate such as \\ud83d)")
    return text


def _model(fields: dict[str, Any], offer: Offer) -> None:
    name = fields.setdefault("model", offer.models[0])
    if name not in offer.models:
        near = did_you_mean(str(name), offer.models)
        raise Refused(
            404, f"no model '{name}' here.{near} There is {', '.join(offer.models)}", "no_model"
        )


def _numbers(fields: dict[str, Any], offer: Offer) -> None:
    fields.setdefault("temperature", offer.temperature)
    fields.setdefault("top_p", offer.top_p)
    for name, (low, high, allowed) in _RANGES.items():
        value = fields[name]
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            _no(f"'{name}' has to be {allowed}")
    if not isinstance(fields.setdefault("stream", False), bool):
        _no("'stream' has to be true or false")


def _tokens(fields: dict[str, Any], offer: Offer, prompt: int, texts: int) -> None:
    """Check or choose the length of the answer; the chat template's own tokens are not counted."""
    asked = fields.get("max_tokens")
    if asked is not None and (type(asked) is not int or asked < 1):
        _no("'max_tokens' has to be a whole number above 0")
    if offer.context is None:
        fields["max_tokens"] = offer.most if asked is None else asked
        return
    if prompt + (asked or 1) > offer.context:
        answer = f" and {asked:,} for the answer" if asked else ""
        _no(f"{prompt:,} tokens of prompt{answer}: the model takes {offer.context:,}", "too_long")
    # Some room is left for what the chat template writes around each text.
    room = max(1, offer.context - prompt - 16 * (texts + 2))
    fields["max_tokens"] = min(offer.most, room) if asked is None else asked


def _no(message: str, code: str = "invalid_request") -> NoReturn:
    raise Refused(400, message, code)
