"""Bodies of requests: read, checked, and made such that every engine means the same by them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import ValidationError

from curate.errors import did_you_mean
from deploy.gate.fields import LENGTH_NAMES, Body, ChatBody, Message, TextBody
from deploy.gate.offer import Offer, Refused, shown

CHAT = "messages"
TEXT = "prompt"
COMMON = ("model", "max_tokens", "temperature", "top_p", "stream")
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
_MOST_REASONS = 8


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
    """Check a request; what is wrong with it is told once, all together.

    Example:
        >>> taken = take(b'{"messages": [{"role": "user", "content": "Hi"}], "max_new_tokens": 5}',
        ...              CHAT, Offer("hf", ("smollm2",)), len)
        >>> taken.fields["max_tokens"], taken.notes
        (5, ('max_new_tokens was taken as max_tokens',))
    """
    fields = {name: value for name, value in _object(raw).items() if value is not None}
    notes: list[str] = []
    wrong: list[Refused] = []
    _drop_placeholders(fields, offer, notes)
    _rename(fields, notes, wrong)
    _drop_idle(fields, offer, notes)
    defaults = {"model": offer.models[0], "temperature": offer.temperature, "top_p": offer.top_p}
    fields = {**fields, **{n: v for n, v in defaults.items() if n not in fields}}
    fields.setdefault("stream", False)
    schema = ChatBody if kind == CHAT else TextBody
    _drop_unknown(fields, schema, kind, offer, wrong)
    problems = _problems(fields, schema)
    wrong += problems.values()
    if "model" not in problems and fields["model"] not in offer.models:
        wrong.append(_no_model(fields["model"], offer))
    if kind in fields and kind not in problems:
        texts = _texts(fields, kind, wrong)
        if "max_tokens" not in problems:
            around = offer.room.around(len(texts)) if kind == CHAT else 1
            _fit(fields, sum(map(count, texts)) + around, offer, wrong)
    if wrong:
        raise _together(wrong)
    return Taken(fields, tuple(notes))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw, parse_constant=_no_constant)
        json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise Refused(400, "the body is nested too deep", "not_json") from None
    except UnicodeEncodeError:
        half = "a message or another text holds half a character (a lone surrogate such as \\ud83d)"
        raise Refused(400, half) from None
    except ValueError as error:  # also UnicodeDecodeError
        why = shown(str(error))
        raise Refused(400, f"the body is not JSON in UTF-8: {why}", "not_json") from None
    if not isinstance(found, dict):
        form = 'the body has to be a JSON object, such as {"messages": [...]}'
        raise Refused(400, form, "not_json")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _drop_placeholders(fields: dict[str, Any], offer: Offer, notes: list[str]) -> None:
    """Leave out what pages for trying an API fill in: it means that nothing was given."""
    for name in ("top_p", *LENGTH_NAMES):
        if type(fields.get(name)) in (int, float) and fields[name] == 0:
            del fields[name]
            notes.append(f"{name} 0 was taken as not given")
    if fields.get("model") == "string" and "string" not in offer.models:
        del fields["model"]
        notes.append("model 'string' was taken as not given")


def _rename(fields: dict[str, Any], notes: list[str], wrong: list[Refused]) -> None:
    for other in LENGTH_NAMES[1:]:
        if other in fields:
            value = fields.pop(other)
            if fields.setdefault("max_tokens", value) != value:
                told = f"'{other}' and 'max_tokens' say different things; give one of them"
                wrong.append(Refused(400, told))
            notes.append(f"{other} was taken as max_tokens")
    if "do_sample" in fields:
        sample = fields.pop("do_sample")
        if not isinstance(sample, bool):
            wrong.append(Refused(400, "'do_sample' has to be true or false"))
        elif not sample and fields.setdefault("temperature", 0) != 0:
            told = "'do_sample' false means temperature 0, and 'temperature' says another"
            wrong.append(Refused(400, told))
        elif not sample:
            notes.append("do_sample false was taken as temperature 0")


def _drop_idle(fields: dict[str, Any], offer: Offer, notes: list[str]) -> None:
    for name in set(fields) - offer.fields:
        if name in _IDLE:
            del fields[name]
            notes.append(f"{name} was left out: engine {offer.engine} has no use for it")
        elif name in _NEUTRAL and fields[name] in _NEUTRAL[name]:
            del fields[name]


def _drop_unknown(
    fields: dict[str, Any], schema: type[Body], kind: str, offer: Offer, wrong: list[Refused]
) -> None:
    known = (kind, *COMMON, *sorted(offer.fields))
    for name in [each for each in fields if each not in known]:
        del fields[name]
        told = f"'{shown(name)}' is nothing that engine {offer.engine} understands here."
        # Another engine's field is spelled rightly: no guess what else was meant.
        near = (
            " Engine vllm does, where it serves the model"
            if name in schema.model_fields
            else did_you_mean(name[:100], known)
        )
        told += f"{near} It takes {', '.join(known)}" if not wrong else near
        wrong.append(Refused(400, told.rstrip("."), "unknown_field"))


def _problems(fields: dict[str, Any], schema: type[Body]) -> dict[str, Refused]:
    """Return what is wrong with fields, by name, one reason each."""
    try:
        schema.model_validate(fields)
    except ValidationError as error:
        found: dict[str, Refused] = {}
        for each in error.errors(include_url=False, include_context=False, include_input=False):
            name, *inside = each["loc"]
            if str(name) not in found:
                found[str(name)] = _problem(str(name), inside, each["type"], fields, schema)
        return found
    return {}


def _problem(
    name: str, inside: list[int | str], how: str, fields: dict[str, Any], schema: type[Body]
) -> Refused:
    if name not in fields:
        return Refused(400, f"'{name}' is missing", "missing_field")
    if name == CHAT and inside and isinstance(inside[0], int):
        message, number = fields[CHAT][inside[0]], inside[0] + 1
        field = str(inside[1]) if len(inside) > 1 else ""
        if how == "extra_forbidden" and field not in ("", "content"):
            told = f"'{shown(field)}' is not understood; it takes role and content"
        elif field:
            told = f"its {field} has to be {Message.model_fields[field].description}"
        else:
            told = f"it has to be an object with role and content, and is {shown(message)}"
        return Refused(400, f"message {number}: {told}")
    allowed = schema.model_fields[name].description
    return Refused(400, f"'{name}' has to be {allowed}, and is {shown(fields[name])}")


def _texts(fields: dict[str, Any], kind: str, wrong: list[Refused]) -> list[str]:
    """Return the texts of what is asked; of messages, the parts are put together."""
    if kind == TEXT:
        return [fields[TEXT]]
    messages = [Message.model_validate(each).model_dump() for each in fields[CHAT]]
    fields[CHAT] = messages
    roles = [each["role"] for each in messages]
    turns = roles[1:] if roles[0] == "system" else roles
    if not turns or turns != [("user", "assistant")[at % 2] for at in range(len(turns))]:
        told = "'messages' has to be user, assistant, user ..., a system first if any; it is "
        wrong.append(Refused(400, told + shown(roles)))
    elif turns[-1] != "user":
        wrong.append(Refused(400, "the last message has to be the user's"))
    return [each["content"] for each in messages]


def _no_model(name: str, offer: Offer) -> Refused:
    near = did_you_mean(name[:100], offer.models)
    there = ", ".join(offer.models)
    return Refused(404, f"no model '{shown(name)}' here.{near} There is {there}", "no_model")


def _fit(fields: dict[str, Any], prompt: int, offer: Offer, wrong: list[Refused]) -> None:
    """Check or choose the length of the answer."""
    asked = fields.get("max_tokens")
    if prompt + (asked or 1) > offer.context:
        answer = f" and {asked:,} for the answer" if asked else ""
        told = f"{prompt:,} tokens of prompt{answer}: the model takes {offer.context:,}"
        wrong.append(Refused(400, told, "too_long"))
    fields.setdefault("max_tokens", min(offer.most, offer.context - prompt))


def _together(wrong: list[Refused]) -> Refused:
    """Return one refusal with all reasons."""
    if len(wrong) == 1:
        return wrong[0]
    told = [each.message for each in wrong[:_MOST_REASONS]]
    more = len(wrong) - len(told)
    told += [f"and {more:,} more"] if more else []
    return Refused(400, "; ".join(told), wrong[0].code)
