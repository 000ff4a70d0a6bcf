"""What is taken of requests, so that every engine means the same, and how the rest is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from curate.errors import did_you_mean
from deploy.engines.contract import Engine, Served

CHAT, TEXT = "messages", "prompt"
_SAMPLING = {"temperature": 1.0, "top_p": 1.0}  # where neither model nor request says another
_COMMON = ("model", "max_tokens", "temperature", "top_p", "stream")
_LENGTH_NAMES = ("max_tokens", "max_new_tokens", "max_completion_tokens")
# What may be said where it changes nothing, to an engine that has no such thing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("n", "best_of", "repetition_penalty"), (1,)),
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), (0,)),
    **dict.fromkeys(("echo", "logprobs"), (False,)),
    **{"tools": ([],), "tool_choice": ("none", "auto"), "stop": ([], ""), "top_k": (0, -1)},
    **{"chat_template_kwargs": ({},), "parallel_tool_calls": (True,)},
    "response_format": ({"type": "text"},),
}
# About the asker, or about what comes after the answer; nothing about the answer itself.
_IDLE = ("user", "metadata", "store")
_NESTED = (CHAT, "tools")  # of which an error says where in them it is
_REASONS = {"missing": "is missing", "extra_forbidden": "is not understood"}
_MOST_REASONS = 8
_MOST_TOKENS = 1024  # of an answer, for a request that says nothing
_NOT_FOR_TEMPLATE = (
    *("chat_template", "messages", "conversation", "tools", "documents", "tokenize"),
    *("add_generation_prompt", "continue_final_message", "return_dict"),
)
_TURNS = "has to be user, assistant, user ..., a system first if any, tools behind their calls"
_SHOWN = 100  # characters of what somebody sent


class Refused(Exception):
    """A request that is not passed on; `code` says to programs what `message` says to people."""

    def __init__(self, status: int, message: str, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


def shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def no_model(name: str, models: Sequence[str]) -> Refused:
    near = did_you_mean(name[:100], models)
    return Refused(
        404, f"no model '{shown(name)}' here.{near} There is {', '.join(models)}", "no_model"
    )


def error_body(status: int, message: str, code: str) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "code": code}}


def _joined(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    texts = [str(part.get("text")) for part in content if isinstance(part, dict)]
    if content != [{"type": "text", "text": text} for text in texts]:
        raise ValueError('has to be a text, or parts such as {"type": "text", "text": "..."}')
    return "\n".join(texts)


def _in_turns(messages: list[Message]) -> list[Message]:
    last, calls = "assistant", False
    after = {"user": {"assistant"}, "tool": {"assistant", "tool"}, "assistant": {"user"}}
    led = bool(messages) and messages[0].role == "system"
    for message in messages[led:]:
        follows = {"tool"} if calls else after[last]
        asks = message.role != "assistant" and message.tool_calls is not None
        if message.role not in follows or asks:
            raise ValueError(_TURNS)
        last, calls = message.role, bool(message.tool_calls)
    if last == "assistant":
        raise ValueError(_TURNS)
    return messages


def _needed_without_calls(content: str | None, info: ValidationInfo) -> str | None:
    if content is None and not info.data.get("tool_calls"):
        raise PydanticCustomError("missing", "is missing")
    return content


def _for_template(values: dict[str, Any]) -> dict[str, Any]:
    # Else a request could bring a template of its own, or take the question out of it.
    if wrong := [name for name in values if name in _NOT_FOR_TEMPLATE]:
        raise ValueError(f"may not have {wrong[0]}")
    return values


def _not_next_to_nothing(temperature: float | None) -> float | None:
    # Logits divided by less would be infinite.
    if temperature and not 0.001 <= temperature <= 2:
        raise ValueError("has to be 0 (always the most likely token) or a number from 0.001 to 2")
    return temperature


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Call(_Strict):
    name: str = Field(min_length=1)
    arguments: str


class ToolCall(_Strict):
    id: str
    type: Literal["function"] = "function"
    function: Call


class Message(_Strict):
    role: Literal["system", "user", "assistant", "tool"]
    tool_calls: list[ToolCall] | None = None
    content: Annotated[
        str | None, BeforeValidator(_joined), AfterValidator(_needed_without_calls)
    ] = Field(None, validate_default=True)
    tool_call_id: str | None = None
    name: str | None = Field(None, exclude=True)


class Function(_Strict):
    name: str = Field(min_length=1)
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    strict: bool | None = Field(None, exclude=True)


class Tool(_Strict):
    type: Literal["function"] = "function"
    function: Function


class Body(_Strict):
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
    tools: list[Tool] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    chat_template_kwargs: Annotated[
        dict[str, bool | int | float | str] | None, AfterValidator(_for_template)
    ] = None


class TextBody(Body):
    prompt: str = Field(min_length=1)
    logprobs: int | None = Field(None, ge=0, le=20)


@dataclass(frozen=True)
class Room:
    """Tokens that the chat template writes around texts, as the engine itself counted them."""

    question: int = 16  # around one question, the way to its answer included
    system: int = 16  # how many more with a system text before it
    pair: int = 32  # how many more with an answer and one more question

    def around(self, texts: int) -> int:
        system = 0 if texts % 2 else max(0, self.system)
        return self.question + system + (texts - 1) // 2 * max(0, self.pair) + 2 * (texts - 1)


def check_body(
    raw: bytes, kind: str, engine: Engine, served: Served, room: Room, count: Callable[[str], int]
) -> tuple[dict[str, Any], list[str]]:
    """Return fields, nothing left to an engine's defaults, and notes; or all that is wrong."""
    try:
        sent = json.loads(raw, parse_constant=_no_constant)
        json.dumps(sent, ensure_ascii=False).encode()
    except RecursionError:
        raise Refused(400, "the body is nested too deep", "not_json") from None
    except UnicodeEncodeError:
        half = "a message or another text holds half a character (a lone surrogate such as \\ud83d)"
        raise Refused(400, half) from None
    except ValueError as error:  # also UnicodeDecodeError
        why = shown(str(error))
        raise Refused(400, f"the body is not JSON in UTF-8: {why}", "not_json") from None
    if not isinstance(sent, dict):
        form = 'the body has to be a JSON object, such as {"messages": [...]}'
        raise Refused(400, form, "not_json")
    models = engine.names(served)
    fields: dict[str, Any] = {name: value for name, value in sent.items() if value is not None}
    wrong: list[Refused] = []
    notes = _normalise(fields, engine, models, wrong)
    fields = {"model": models[0], "stream": False, **_SAMPLING, **served.sampling, **fields}
    schema: type[Body] = ChatBody if kind == CHAT else TextBody
    _drop_refused(fields, schema, (kind, *_COMMON, *sorted(engine.fields)), engine.name, wrong)
    if (model := fields.get("model", models[0])) not in models:
        wrong.append(no_model(model, models))
    if kind in fields:
        fields = schema.model_validate(fields).model_dump(exclude_unset=True)
        if why := engine.refusal(served, fields):
            wrong.append(Refused(400, why, "unknown_field"))
        texts = [_text_of(turn) for turn in fields[CHAT]] if kind == CHAT else [fields[TEXT]]
        if tools := fields.get("tools"):  # a template writes around each of them
            texts[0] += 2 * json.dumps(tools, ensure_ascii=False)
        prompt = sum(map(count, texts)) + (room.around(len(texts)) if kind == CHAT else 1)
        answer = fields.setdefault("max_tokens", max(1, min(_MOST_TOKENS, served.context - prompt)))
        if prompt + answer > served.context:
            reason = f"{prompt:,} tokens of prompt and {answer:,} for the answer: the model takes "
            wrong.append(Refused(400, f"{reason}{served.context:,}", "too_long"))
    if len(wrong) > 1:
        reasons = [refusal.message for refusal in wrong[:_MOST_REASONS]]
        reasons += [f"and {len(wrong) - _MOST_REASONS:,} more"] * (len(wrong) > _MOST_REASONS)
        raise Refused(400, "; ".join(reasons), wrong[0].code)
    if wrong:
        raise wrong[0]
    return fields, notes


def _text_of(turn: dict[str, Any]) -> str:
    calls = turn.get("tool_calls")
    return (turn.get("content") or "") + (json.dumps(calls, ensure_ascii=False) if calls else "")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _normalise(
    fields: dict[str, Any], engine: Engine, models: Sequence[str], wrong: list[Refused]
) -> list[str]:
    """Put other programs' words into OpenAI's, leave out what means nothing, and note that."""
    notes = []
    for name in ("top_p", *_LENGTH_NAMES):  # pages for trying an API fill in 0 and "string"
        if type(fields.get(name)) in (int, float) and fields[name] == 0:
            del fields[name]
            notes.append(f"{name} 0 was taken as not given")
    if fields.get("model") == "string" and "string" not in models:
        del fields["model"]
        notes.append("model 'string' was taken as not given")
    for other in [name for name in _LENGTH_NAMES[1:] if name in fields]:
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
    for name in [name for name in fields if name not in engine.fields]:
        if name in _IDLE:
            del fields[name]
            notes.append(f"{name} was left out: engine {engine.name} has no use for it")
        elif name in _NEUTRAL and fields[name] in _NEUTRAL[name]:
            del fields[name]
    return notes


def _drop_refused(
    fields: dict[str, Any],
    schema: type[Body],
    known: Sequence[str],
    engine: str,
    wrong: list[Refused],
) -> None:
    """Take out fields that are not known or not valid, one reason each."""
    for name in [name for name in fields if name not in known]:
        del fields[name]
        reason = f"'{shown(name)}' is nothing that engine {engine} understands here."
        # Another engine's field is spelled rightly: no guess what else was meant.
        if name in schema.model_fields:
            reason += " Engine vllm does, where it serves the model."
        else:
            reason += did_you_mean(name[:100], known)
        if not wrong:
            reason += f" Engine {engine} takes {', '.join(known)}"
        wrong.append(Refused(400, reason.rstrip("."), "unknown_field"))
    problems: dict[str, Refused] = {}
    try:
        schema.model_validate(fields)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_context=False):
            name = str(error["loc"][0])
            place = ".".join(map(str, error["loc"])) if name in _NESTED else name
            reason = _REASONS.get(error["type"], "")
            if not reason:
                message = re.sub(r"^\w+ should", "has to", error["msg"])
                value = json.dumps(error["input"], ensure_ascii=False)
                reason = f"{message.removeprefix('Value error, ')}, and is {shown(value)}"
            problems.setdefault(name, Refused(400, f"'{shown(place)}' {reason}"))
            fields.pop(name, None)
    wrong += problems.values()
