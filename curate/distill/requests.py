"""What is asked, what comes back, and what becomes of it: the terms in which a verb is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from curate.data.rows import Row
from curate.data.schema import Shape
from curate.models.openai_request import UNKNOWN_END, Completion
from curate.models.protocols import CUT, STOPPED, Message
from curate.parameters.distill import Asking

OK, EMPTY, BAD_JSON, NOT_IN_SCHEMA = "ok", "empty_answer", "bad_json", "not_in_schema"
NOT_ASKED, NO_QUESTION, LARGE, REFUSED_PII = "not_asked", "no_question", "too_long", "identifiers"
_STATUS = {STOPPED: OK, CUT: "cut_off", UNKNOWN_END: UNKNOWN_END}


@dataclass(frozen=True)
class Request:
    """One request; equal ones, but for `sample`, are one."""

    model: str  # address and name, `http://HOST:PORT/v1#NAME`
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float
    seed: int = 0
    sample: int = 0  # number of the answer, where several are wanted
    items: int = field(default=0, compare=False)  # texts that it lists as JSON; 0 for plain text

    @classmethod
    def by(
        cls,
        params: Asking,
        model: str,
        messages: Sequence[Message],
        sample: int = 0,
        items: int = 0,
    ) -> Request:
        most, temperature, seed = params.max_tokens, params.temperature, params.seed
        return cls(model, tuple(messages), most, temperature, seed, sample, items)

    @property
    def key(self) -> str:
        """The sha256 of all that decides the answer."""
        messages = [dict(message) for message in self.messages]
        settings = [self.max_tokens, self.temperature, self.seed, self.sample]
        text = json.dumps([self.model, messages, *settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def body(self) -> dict[str, Any]:
        return {
            "model": self.model.partition("#")[2],
            "messages": [dict(message) for message in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed + self.sample,
        }


@dataclass(frozen=True)
class Reply:
    """What came of a request: `ok`, or why there is no answer that could be used."""

    request: Request
    status: str
    completion: Completion | None = None

    @classmethod
    def of(cls, request: Request, completion: Completion) -> Reply:
        status = _STATUS.get(completion.end, completion.end)
        empty = status == OK and not completion.text
        return cls(request, EMPTY if empty else status, completion)

    @property
    def text(self) -> str:
        return self.completion.text if self.completion else ""


@dataclass(frozen=True)
class Line:
    """What became of one question: a row, or why there is none."""

    source_id: str
    source: str  # name of the file that it stands in
    status: str  # `ok`, or why there is no row
    value: dict[str, Any] | None = None
    replies: tuple[Reply, ...] = ()  # all that it took
    repaired: bool = False  # JSON, to be read
    held_out: bool = False
    scores: dict[str, Any] = field(default_factory=dict)
    flaw: str = ""  # why it is no row after all, where flawed ones are dropped


Steps: TypeAlias = Generator[list[Request], list[Reply], list[Line]]


@dataclass(frozen=True)
class Verb:
    size: int  # of what there is to be asked about
    # Asks about one of them, and returns what became of it: given equal replies, the same.
    steps: Callable[[int], Steps]
    shape: Shape | None  # of its rows; None for one that makes numbers alone
    columns: tuple[str, ...] = ()  # names of its scores
    prompts: Mapping[str, str] = field(default_factory=dict)  # name to sha256
    sources: Sequence[dict[str, Any]] = ()  # files, as a manifest has them
    chosen: Callable[[Iterable[Line]], Iterable[Line]] = iter  # from all lines to those written
    target: int | None = None  # rows to go on for; None asks about all
    per_request: int = 1  # rows that a request is to give
    # Writes what belongs to the rows, and returns the names of the files.
    beside: Callable[[Path, str], list[str]] = lambda folder, name: []


def line_of(
    row: Row,
    status: str,
    value: dict[str, Any] | None = None,
    replies: Sequence[Reply] = (),
    **more: Any,
) -> Line:
    """Return what became of a row: a value is written only where the status is `ok`."""
    made = {**value, "source_id": row.id} if value and status == OK else None
    return Line(row.id, row.source, status, made, tuple(replies), **more)
