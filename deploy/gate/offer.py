"""What a server takes, and how it says no."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_SHOWN = 100


class Refused(Exception):
    """A request that is not passed on.

    Attributes:
        status: Of HTTP.
        message: What was given, what is allowed.
        code: The same in a word, for programs.
    """

    def __init__(self, status: int, message: str, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True)
class Room:
    """Tokens that the chat template writes around texts, as the engine itself counted them.

    Attributes:
        question: Around one question, the way to its answer included.
        system: How many more with a system text before it.
        pair: How many more with an answer and one more question.
    """

    question: int = 16
    system: int = 16
    pair: int = 32

    def around(self, texts: int) -> int:
        """Return the most that is written around a conversation."""
        system = 0 if texts % 2 else max(0, self.system)
        return self.question + system + (texts - 1) // 2 * max(0, self.pair) + 2 * (texts - 1)


@dataclass(frozen=True)
class Offer:
    """What a server takes.

    Attributes:
        engine: Its engine's name.
        models: Names that answer; a request that names none gets the first.
        fields: What a request may say besides what every engine takes.
        completions: Whether /v1/completions is there.
        context: Tokens of prompt and answer together.
        room: Of them, what the chat template takes.
        temperature: Of a request that names none.
        top_p: Likewise.
        most: Tokens of an answer, for a request that says nothing.
        body: Bytes that a request may have.
    """

    engine: str
    models: tuple[str, ...]
    fields: frozenset[str] = frozenset()
    completions: bool = False
    context: int = 2048
    room: Room = Room()
    temperature: float = 1.0
    top_p: float = 1.0
    most: int = 1024
    body: int = 1 << 20


def shown(value: object) -> str:
    """Return what somebody sent, short enough to be said back."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def told(status: int, message: str, code: str) -> dict[str, Any]:
    """Return an error as OpenAI's interface has it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "code": code}}
