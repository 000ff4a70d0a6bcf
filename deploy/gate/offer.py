"""What a server takes, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
class Offer:
    """What a server takes.

    Attributes:
        engine: Its engine's name.
        models: Names that answer; a request that names none gets the first.
        fields: What a request may say besides what every engine takes.
        completions: Whether /v1/completions is there.
        context: Tokens of prompt and answer together; None if not known.
        tokenizer: tokenizer.json, to count tokens with; None if there is none.
        temperature: Of a request that names none.
        top_p: Likewise.
        most: Tokens of an answer, for a request that says nothing.
        body: Bytes that a request may have.
    """

    engine: str
    models: tuple[str, ...]
    fields: frozenset[str] = frozenset()
    completions: bool = False
    context: int | None = None
    tokenizer: Path | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    most: int = 1024
    body: int = 1 << 20


def told(status: int, message: str, code: str) -> dict[str, Any]:
    """Return an error as OpenAI's interface has it.

    Args:
        status: Of HTTP.
        message: For people.
        code: For programs.
    """
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "code": code}}
