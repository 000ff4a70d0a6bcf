"""What is asked, what comes back, what becomes of it, and what it costs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from curate.data.rows import Row
from curate.data.schema import Shape
from curate.errors import UsageError
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


# What requests cost: the most before they are sent, what they did cost after, and estimates

# Tokens around a message, and around all of them: role, marks, a system prompt of the template's.
_AROUND, _TEMPLATE = 16, 64
_MILLION = 1_000_000
# Tokens a character, of Qwen2's and DeepSeek's vocabularies on medical questions and answers.
_HAN, _OTHER, _AROUND_USUALLY = 0.67, 0.21, 4
_HAN_CHARACTERS = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Price:
    """Of a million tokens of prompts, of responses, and of prompts that the server has cached."""

    prompt: float
    response: float
    cached: float

    def most(self, prompt_tokens: int, response_tokens: int) -> float:
        dearest = max(self.prompt, self.cached)
        return (prompt_tokens * dearest + response_tokens * self.response) / _MILLION

    def of(self, answer: Completion) -> float | None:
        """Return what an answer cost; None if the server does not say its tokens."""
        if answer.prompt_tokens is None or answer.response_tokens is None:
            return None
        cached = min(answer.cached_tokens or 0, answer.prompt_tokens)
        new = answer.prompt_tokens - cached
        cost = new * self.prompt + cached * self.cached + answer.response_tokens * self.response
        return cost / _MILLION


FREE = Price(0, 0, 0)


def parse_price(typed: str) -> Price:
    """Return a price such as 2/8 or 2/8/0.2.

    Example:
        >>> parse_price("2/8").of(Completion("", prompt_tokens=500_000, response_tokens=250_000))
        3.0
    """
    try:
        numbers = [float(part) for part in typed.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or not all(0 <= number < 1e9 for number in numbers):
        raise UsageError(
            f"--price {typed}: allowed is IN/OUT or IN/OUT/CACHED, the price of a million tokens "
            "of prompts, of responses, and of prompts from the server's cache: 2/8/0.2"
        )
    return Price(numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else numbers[0])


def most_tokens(messages: Sequence[Message]) -> int:
    """Return what a prompt's tokens cannot exceed: byte-level vocabularies have one a byte."""
    sizes = [len(message["content"].encode("utf-8", "replace")) for message in messages]
    return sum(sizes) + _AROUND * len(sizes) + _TEMPLATE


def usual_tokens(messages: Sequence[Message]) -> float:
    texts = [message["content"] for message in messages]
    han = sum(len(_HAN_CHARACTERS.findall(text)) for text in texts)
    return _HAN * han + _OTHER * (sum(map(len, texts)) - han) + _AROUND_USUALLY * len(texts)


@dataclass(frozen=True)
class Estimate:
    requests: int  # that have no answer yet
    prompt_tokens: int
    response_tokens: int | None  # as answers had until now; None before the first
    most_cost: float | None  # each sent once; None without prices
    cost: float | None


def estimate(
    replies: Iterable[Reply],
    price: Price | None,
    count: Callable[[Sequence[Message]], float] | None = None,
) -> Estimate:
    """Return what requests would take, equal ones once, going by those that are answered."""
    left, answers, most_cost, usual, expected = 0, 0, 0.0, 0.0, 0.0
    prompts = responses = 0
    keys: set[str] = set()
    for reply in replies:
        if reply.request.key in keys:
            continue
        keys.add(reply.request.key)
        messages, answer = reply.request.messages, reply.completion
        tokens = (count or usual_tokens)(messages)
        if answer is None:
            left, usual = left + 1, usual + tokens
            if price:
                most_cost += price.most(most_tokens(messages), reply.request.max_tokens)
        elif answer.prompt_tokens is not None and answer.response_tokens is not None:
            answers, expected = answers + 1, expected + tokens
            prompts, responses = prompts + answer.prompt_tokens, responses + answer.response_tokens
    if expected and prompts:
        usual *= prompts / expected
    response_tokens = round(left * responses / answers) if answers else None
    cost = None
    if price and response_tokens is not None:
        cost = (usual * price.prompt + response_tokens * price.response) / _MILLION
    return Estimate(
        requests=left,
        prompt_tokens=round(usual),
        response_tokens=response_tokens,
        most_cost=most_cost if price else None,
        cost=cost,
    )
