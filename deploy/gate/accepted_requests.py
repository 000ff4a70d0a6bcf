"""What a server takes of requests, how long they may be, and how it says no."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from deploy.engines.contract import Engine, Served

_SHOWN = 100  # characters


class Refused(Exception):
    """A request that is not passed on; `code` says to programs what `message` says to people."""

    def __init__(self, status: int, message: str, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True)
class Room:
    """Tokens that the chat template writes around texts, as the engine itself counted them."""

    question: int = 16  # around one question, the way to its answer included
    system: int = 16  # how many more with a system text before it
    pair: int = 32  # how many more with an answer and one more question

    def around(self, texts: int) -> int:
        """Return the most that is written around a conversation."""
        system = 0 if texts % 2 else max(0, self.system)
        return self.question + system + (texts - 1) // 2 * max(0, self.pair) + 2 * (texts - 1)


@dataclass(frozen=True)
class Offer:
    """What a server takes."""

    engine: str
    models: tuple[str, ...]  # a request that names none gets the first
    fields: frozenset[str] = frozenset()  # besides what every engine takes
    completions: bool = False
    context: int = 2048  # tokens of prompt and answer together
    room: Room = Room()
    temperature: float = 1.0  # of a request that names none; so top_p
    top_p: float = 1.0
    most: int = 1024  # tokens of an answer, for a request that says nothing
    body: int = 1 << 20  # bytes that a request may have


def offer_of(served: Served, engine: Engine) -> Offer:
    return Offer(
        engine=engine.name,
        models=engine.names(served),
        fields=engine.fields,
        completions=engine.completions,
        context=served.context,
        **_recommended_sampling(served.folder / "generation_config.json"),
    )


def _recommended_sampling(path: Path) -> dict[str, Any]:
    """Return the sampling that a model's authors recommend."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {
        name: float(config[name])
        for name, most in {"temperature": 2.0, "top_p": 1.0}.items()
        if isinstance(config.get(name), int | float) and 0 < config[name] <= most
    }


def token_counter(folder: Path) -> Callable[[str], int]:
    """Return a function that counts a text's tokens, without the model."""
    if (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return lambda text: len(fast.encode(text, add_special_tokens=False).ids)
    from transformers import AutoTokenizer

    try:
        slow = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"the tokenizer of {folder.name} cannot be loaded ({error})") from error
    return lambda text: len(slow.encode(text, add_special_tokens=False))


def shown(value: object) -> str:
    """Return what somebody sent, short enough to be said back."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def error_body(status: int, message: str, code: str) -> dict[str, Any]:
    """Return an error as OpenAI's interface has it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "code": code}}
