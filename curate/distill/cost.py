"""What requests cost: the most before they are sent, what they did cost after, and estimates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from curate.distill.requests import Reply
from curate.errors import UsageError
from curate.models.openai_request import Completion
from curate.models.protocols import Message

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
    told = round(left * responses / answers) if answers else None
    cost = None
    if price and told is not None:
        cost = (usual * price.prompt + told * price.response) / _MILLION
    return Estimate(
        requests=left,
        prompt_tokens=round(usual),
        response_tokens=told,
        most_cost=most_cost if price else None,
        cost=cost,
    )
