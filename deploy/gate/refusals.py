"""How a server says no."""

from __future__ import annotations

import json
from typing import Any

_SHOWN = 100  # characters


class Refused(Exception):
    """A request that is not passed on; `code` says to programs what `message` says to people."""

    def __init__(self, status: int, message: str, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


def shown(value: object) -> str:
    """Return what somebody sent, short enough to be said back."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def error_body(status: int, message: str, code: str) -> dict[str, Any]:
    """Return an error as OpenAI's interface has it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "code": code}}
