"""Bodies of requests: read, checked, and made such that every engine means the same by them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from curate.errors import did_you_mean
from deploy.gate.accepted_requests import Offer, Refused, shown

CHAT, TEXT = "messages", "prompt"
_COMMON = ("model", "max_tokens", "temperature", "top_p", "stream")
_LENGTH_NAMES = ("max_tokens", "max_new_tokens", "max_completion_tokens")
# What may be said where it changes nothing, to an engine that has no such thing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "stop": ([], ""),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "logprobs": (False,),
    "top_k": (0, -1),
    "response_format": ({"type": "text"},),
}
# About the asker, or about what comes after the answer; nothing about the answer itself.
_IDLE = ("user", "metadata", "store", "stream_options")
_MOST_REASONS = 8


def _joined(content: Any) -> Any:
    """Return parts of text as one text; anything else as it is."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        if content != [{"type": "text", "text": text} for text in texts if isinstance(text, str)]:
            raise ValueError('parts have to be such as {"type": "text", "text": "..."}')
        return "\n".join(texts)
    return content


def _in_turns(messages: list[Message]) -> list[Message]:
    roles = [message.role for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if len(turns) % 2 == 0 or turns != [("user", "assistant")[at % 2] for at in range(len(turns))]:
        raise ValueError("they have to be user, assistant, user ..., a system first if any")
    return messages


def _not_next_to_nothing(temperature: float | None) -> float | None:
    # Logits divided by less would be infinite.
    if temperature and not 0.001 <= temperature <= 2:
        raise ValueError("0 (always the most likely token) or a number from 0.001 to 2")
    return temperature


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Message(_Strict):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_joined)]
    name: str | None = Field(None, exclude=True)


class Body(_Strict):
    """What every request may say."""

    model: str = ""
    max_tokens: int | None = Field(None, ge=1)
    temperature: Annotated[float | None, AfterValidator(_not_next_to_nothing)] = None
    top_p: float | None = Field(None, ge=1e-6, le=1)
    stream: bool = False
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = Field(None, max_length=1000)
    n: int | None = Field(None, ge=1, le=16)
    top_k: int | None = Field(None, ge=-1, le=1_000_000)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, ge=0.1, le=10)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    stream_options: dict[str, bool] | None = None
    ignore_eos: bool | None = None
    min_tokens: int | None = Field(None, ge=0, le=1_000_000)
    response_format: dict[str, Any] | None = None


class ChatBody(Body):
    messages: Annotated[list[Message], AfterValidator(_in_turns)]
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)


class TextBody(Body):
    prompt: str = Field(min_length=1)
    logprobs: int | None = Field(None, ge=0, le=20)


def check_body(
    raw: bytes, kind: str, offer: Offer, count: Callable[[str], int]
) -> tuple[dict[str, Any], list[str]]:
    """Return a request's fields, nothing left to an engine's defaults, and notes for people.

    What is wrong is told once, all together.

    Example:
        >>> hi = b'{"messages": [{"role": "user", "content": "Hi"}], "max_new_tokens": 5}'
        >>> fields, notes = check_body(hi, CHAT, Offer("hf", ("smollm2",)), len)
        >>> fields["max_tokens"], notes
        (5, ['max_new_tokens was taken as max_tokens'])
    """
    fields = {name: value for name, value in _json_object(raw).items() if value is not None}
    wrong: list[Refused] = []
    notes = _normalise(fields, offer, wrong)
    defaults = {"model": offer.models[0], "temperature": offer.temperature, "top_p": offer.top_p}
    fields = {**defaults, "stream": False, **fields}
    schema: type[Body] = ChatBody if kind == CHAT else TextBody
    _drop_unknown(fields, schema, kind, offer, wrong)
    wrong += _drop_invalid(fields, schema)
    if fields.get("model", offer.models[0]) not in offer.models:
        near = did_you_mean(fields["model"][:100], offer.models)
        no_model = f"no model '{shown(fields['model'])}' here.{near} There is "
        wrong.append(Refused(404, no_model + ", ".join(offer.models), "no_model"))
    if kind in fields:
        fields = schema.model_validate(fields).model_dump(exclude_unset=True)
        texts = [each["content"] for each in fields[CHAT]] if kind == CHAT else [fields[TEXT]]
        prompt = sum(map(count, texts)) + (offer.room.around(len(texts)) if kind == CHAT else 1)
        asked = fields.setdefault("max_tokens", max(1, min(offer.most, offer.context - prompt)))
        if prompt + asked > offer.context:
            reason = f"{prompt:,} tokens of prompt and {asked:,} for the answer: the model takes "
            wrong.append(Refused(400, f"{reason}{offer.context:,}", "too_long"))
    if len(wrong) > 1:
        reasons = [refusal.message for refusal in wrong[:_MOST_REASONS]]
        reasons += [f"and {len(wrong) - _MOST_REASONS:,} more"] * (len(wrong) > _MOST_REASONS)
        raise Refused(400, "; ".join(reasons), wrong[0].code)
    if wrong:
        raise wrong[0]
    return fields, notes


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw, parse_constant=_no_constant)
        json.dumps(body, ensure_ascii=False).encode()
    except RecursionError:
        raise Refused(400, "the body is nested too deep", "not_json") from None
    except UnicodeEncodeError:
        half = "a message or another text holds half a character (a lone surrogate such as \\ud83d)"
        raise Refused(400, half) from None
    except ValueError as error:  # also UnicodeDecodeError
        why = shown(str(error))
        raise Refused(400, f"the body is not JSON in UTF-8: {why}", "not_json") from None
    if not isinstance(body, dict):
        form = 'the body has to be a JSON object, such as {"messages": [...]}'
        raise Refused(400, form, "not_json")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _normalise(fields: dict[str, Any], offer: Offer, wrong: list[Refused]) -> list[str]:
    """Put other programs' words into OpenAI's, leave out what means nothing, and note that."""
    notes = []
    for name in ("top_p", *_LENGTH_NAMES):  # pages for trying an API fill in 0 and "string"
        if type(fields.get(name)) in (int, float) and fields[name] == 0:
            del fields[name]
            notes.append(f"{name} 0 was taken as not given")
    if fields.get("model") == "string" and "string" not in offer.models:
        del fields["model"]
        notes.append("model 'string' was taken as not given")
    for other in _LENGTH_NAMES[1:]:
        if other in fields:
            value = fields.pop(other)
            if fields.setdefault("max_tokens", value) != value:
                differ = f"'{other}' and 'max_tokens' say different things; give one of them"
                wrong.append(Refused(400, differ))
            notes.append(f"{other} was taken as max_tokens")
    sample = fields.pop("do_sample", True)
    if not isinstance(sample, bool):
        wrong.append(Refused(400, "'do_sample' has to be true or false"))
    elif not sample:
        notes.append("do_sample false was taken as temperature 0")
        if fields.setdefault("temperature", 0) != 0:
            differ = "'do_sample' false means temperature 0, and 'temperature' says another"
            wrong.append(Refused(400, differ))
    for name in [name for name in fields if name not in offer.fields]:
        if name in _IDLE:
            del fields[name]
            notes.append(f"{name} was left out: engine {offer.engine} has no use for it")
        elif name in _NEUTRAL and fields[name] in _NEUTRAL[name]:
            del fields[name]
    return notes


def _drop_unknown(
    fields: dict[str, Any], schema: type[Body], kind: str, offer: Offer, wrong: list[Refused]
) -> None:
    known = (kind, *_COMMON, *sorted(offer.fields))
    for name in [name for name in fields if name not in known]:
        del fields[name]
        reason = f"'{shown(name)}' is nothing that engine {offer.engine} understands here."
        # Another engine's field is spelled rightly: no guess what else was meant.
        if name in schema.model_fields:
            reason += " Engine vllm does, where it serves the model"
        else:
            reason += did_you_mean(name[:100], known)
        if not wrong:
            reason += f" It takes {', '.join(known)}"
        wrong.append(Refused(400, reason.rstrip("."), "unknown_field"))


def _drop_invalid(fields: dict[str, Any], schema: type[Body]) -> list[Refused]:
    """Return what is wrong with fields, one reason each."""
    problems: dict[str, Refused] = {}
    try:
        schema.model_validate(fields)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_context=False):
            name = str(error["loc"][0])
            place = ".".join(map(str, error["loc"])) if name == CHAT else name
            reason = f"'{shown(place)}': {error['msg'].removeprefix('Value error, ')}"
            if error["type"] != "missing":
                reason += f"; it is {shown(error['input'])}"
            problems.setdefault(name, Refused(400, reason))
            fields.pop(name, None)
    return list(problems.values())
