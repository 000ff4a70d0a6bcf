"""The fields of a request, what each may be, and how that is said."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

# Ours first; then other programs' names for it.
LENGTH_NAMES = ("max_tokens", "max_new_tokens", "max_completion_tokens")
_INT64 = 2**63
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _number(low: float, high: float, more: str = "") -> Any:
    told = f"a number from {low:g} to {high:g}"
    return Field(None, ge=low, le=high, description=told + (f" ({more})" if more else ""))


def _whole(low: int, high: int, more: str = "") -> Any:
    return Field(
        None, ge=low, le=high, description=f"a whole number from {low:,} to {high:,}{more}"
    )


def _flag() -> Any:
    return Field(None, description="true or false")


class Part(BaseModel):
    """A piece of a message."""

    model_config = _STRICT
    type: Literal["text"]
    text: str


def _joined(content: Any) -> Any:
    """Return parts of text as one text; anything else as it is."""
    if isinstance(content, list):
        return "\n".join(Part.model_validate(each).text for each in content)
    return content


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = _STRICT
    role: Literal["system", "user", "assistant"] = Field(
        description="one of system, user, assistant"
    )
    content: Annotated[str, BeforeValidator(_joined)] = Field(
        description='a text, or a list of parts such as {"type": "text", "text": "..."}'
    )
    name: str | None = Field(None, exclude=True, description="a text")


class Body(BaseModel):
    """What every request may say."""

    model_config = _STRICT
    model: str = Field("", description="a model's name")
    max_tokens: int | None = Field(None, ge=1, description="a whole number above 0")
    temperature: float | None = Field(
        None, description="0 (always the most likely token) or a number from 0.001 to 2"
    )
    top_p: float | None = _number(1e-6, 1, "0 is taken as not given")
    stream: bool = Field(False, description="true or false")
    seed: int | None = _whole(-_INT64, _INT64 - 1)
    stop: str | list[str] | None = Field(
        None, max_length=1000, description="a text or a list of texts"
    )
    n: int | None = _whole(1, 16)
    top_k: int | None = _whole(-1, 1_000_000, "; -1 and 0 mean all tokens")
    min_p: float | None = _number(0, 1)
    repetition_penalty: float | None = _number(0.1, 10, "1 changes nothing")
    presence_penalty: float | None = _number(-2, 2)
    frequency_penalty: float | None = _number(-2, 2)
    stream_options: dict[str, bool] | None = Field(
        None, description='an object such as {"include_usage": true}'
    )
    ignore_eos: bool | None = _flag()
    min_tokens: int | None = _whole(0, 1_000_000)
    response_format: dict[str, Any] | None = Field(
        None, description='an object such as {"type": "json_object"}'
    )

    @field_validator("temperature")
    @classmethod
    def _not_next_to_nothing(cls, value: float | None) -> float | None:
        # Logits divided by less would be infinite.
        if value and not 0.001 <= value <= 2:
            raise ValueError("out of range")
        return value


class ChatBody(Body):
    """Of /v1/chat/completions."""

    messages: list[Message] = Field(
        min_length=1, description='a list such as [{"role": "user", "content": "..."}]'
    )
    logprobs: bool | None = _flag()
    top_logprobs: int | None = _whole(0, 20)


class TextBody(Body):
    """Of /v1/completions."""

    prompt: str = Field(min_length=1, description="a text")
    logprobs: int | None = _whole(0, 20)
