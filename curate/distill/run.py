"""A verb's requests, sent side by side; its lines, made again from the ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from curate.distill.ledger import ANSWERED, SENT, Ledger
from curate.distill.requests import (
    FREE,
    LARGE,
    NOT_ASKED,
    OK,
    REFUSED_PII,
    Line,
    Price,
    Reply,
    Request,
    Steps,
    Verb,
    most_tokens,
)
from curate.errors import CuratrainError, ModelError, UsageError
from curate.models import openai_request as failures
from curate.models.asking import Asking
from curate.models.openai_client import check_reachable, models_of
from curate.models.openai_request import Completion, ServerError
from curate.models.protocols import FILTERED, TOO_LONG
from curate.system.background import in_background

BUDGET = "budget"
_LARGEST = 1_000_000  # bytes of a prompt
_OPEN = {NOT_ASKED, SENT, *failures.PASSING, *failures.ENDING, failures.REFUSED, TOO_LONG}


class _StoppedError(Exception):
    """Nothing more is sent."""


@dataclass
class Run:
    ledger: Ledger
    servers: Mapping[str, Asking]  # by address
    # From the texts of a request and its server's address to what may be sent, None if nothing may.
    look: Callable[[list[str], str], Sequence[str] | None] = lambda texts, base: texts
    price: Price = FREE
    max_cost: float | None = None  # that the ledger may say is spent
    stopped: str | CuratrainError = ""  # why nothing more is sent: '' if all was, `budget`
    asked: int = 0  # requests that were sent
    _reached: set[str] = field(default_factory=set)
    _asking: dict[str, asyncio.Future[Reply]] = field(default_factory=dict)
    _under_way: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def lines(self, verb: Verb, places: Sequence[int]) -> Iterator[Line]:
        """Yield what became of all questions, in order, from the ledger alone."""
        for place in places:
            yield from _ended(verb.steps(place), self._kept)

    def replies(self, verb: Verb, places: Sequence[int]) -> Iterator[Reply]:
        """Yield every request with its answer, if there is one; later ones as long as can be."""
        for place in places:
            told: list[Reply] = []

            def longest(request: Request, told: list[Reply] = told) -> Reply:
                reply = self._kept(request)
                if reply.completion or reply.status in _OPEN:
                    told.append(reply)
                return _longest(reply) if reply.status in _OPEN else reply

            _ended(verb.steps(place), longest)
            yield from told

    def _kept(self, request: Request) -> Reply:
        looked = self._looked(request)
        if isinstance(looked, str):
            return Reply(request, looked)
        if completion := self.ledger.answer(looked.key):
            return Reply.of(looked, completion)
        failure = self.ledger.failure(looked.key)
        return Reply(looked, failure[0] if failure else NOT_ASKED)

    def _looked(self, request: Request) -> Request | str:
        texts = [
            message["content"].encode("utf-8", "replace").decode().replace("\0", "")
            for message in request.messages
        ]
        if sum(len(text.encode()) for text in texts) > _LARGEST:
            return LARGE
        sent = self.look(texts, request.model.partition("#")[0])
        if sent is None:
            return REFUSED_PII
        pairs = zip(request.messages, sent, strict=True)
        return replace(request, messages=tuple({**old, "content": new} for old, new in pairs))

    # Asking

    def ask(self, verb: Verb, places: Sequence[int], done: Callable[[int], Any]) -> None:
        """Ask all that the ledger does not answer, as long as money and server allow."""
        in_background(self._ask(verb, places, done))

    async def _ask(self, verb: Verb, places: Sequence[int], done: Callable[[int], Any]) -> None:
        left = iter(places)

        async def work() -> None:
            for place in left:
                if self.stopped:
                    return
                await self._whole(verb.steps(place))
                done(1)

        at_once = min(len(places), sum(each.concurrency for each in self.servers.values()))
        workers = [asyncio.ensure_future(work()) for _ in range(at_once)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            for server in self.servers.values():
                await server.close()

    async def _whole(self, steps: Steps) -> None:
        try:
            requests = next(steps)
            while True:
                requests = steps.send(list(await asyncio.gather(*map(self._reply, requests))))
        except StopIteration:
            return

    async def _reply(self, request: Request) -> Reply:
        looked = self._looked(request)
        if isinstance(looked, str):
            return Reply(request, looked)
        if completion := self.ledger.answer(looked.key):
            return Reply.of(looked, completion)
        # What two rows ask alike is asked once.
        if (under_way := self._asking.get(looked.key)) is None:
            under_way = asyncio.ensure_future(self._answered(looked))
            self._asking[looked.key] = under_way
            under_way.add_done_callback(lambda _: self._asking.pop(looked.key))
        return await under_way

    async def _answered(self, request: Request) -> Reply:
        server = self.servers[request.model.partition("#")[0]]
        most = most_tokens(request.messages) + request.max_tokens
        most_cost = self.price.most(most - request.max_tokens, request.max_tokens)
        number = 0

        async def before() -> None:
            nonlocal number
            await self._afford(most_cost)
            number = self.ledger.send(request.key, most_cost)
            self._under_way, self.asked = self._under_way + 1, self.asked + 1

        def after(result: Completion | ServerError) -> None:
            """Write what became of it, and give back what it did not cost."""
            try:
                if isinstance(result, ServerError):
                    # What a server's filter keeps from being answered would be kept again.
                    filtered = (request.key, Completion("", FILTERED))
                    answer = filtered if result.kind == FILTERED else None
                    cost, words = most_cost if result.billed else 0.0, result.words or str(result)
                    self.ledger.end(number, cost, result.kind, words, answer)
                else:
                    known = self.price.of(result)
                    cost = most_cost if known is None else known
                    self.ledger.end(number, cost, ANSWERED, answer=(request.key, result))
            finally:
                self._under_way -= 1
                self._changed.set()

        if self.stopped:
            return Reply(request, NOT_ASKED)
        try:
            if server.base not in self._reached:
                check_reachable(server.base)
                self._reached.add(server.base)
            return Reply.of(request, await server.ask(request.body, most, before, after))
        except _StoppedError:
            return Reply(request, NOT_ASKED)
        except ServerError as error:
            # Before anything was answered, it is all questions that fail, and not this one alone.
            alone = error.kind in (TOO_LONG, FILTERED) or self.ledger.answers()
            if error.kind in failures.ENDING or not alone:
                self._stop(await _with_models(error, server))
            return Reply(request, error.kind)
        except CuratrainError as error:
            self._stop(error)
            return Reply(request, NOT_ASKED)

    def _stop(self, why: str | CuratrainError) -> None:
        self.stopped = self.stopped or why
        self._changed.set()

    async def _afford(self, most: float) -> None:
        while not self.stopped and self.max_cost is not None:
            if self.ledger.spent + most <= self.max_cost:
                break
            if not self._under_way:
                spent = f", and {self.ledger.spent:.6g} is spent" if self.ledger.spent else ""
                too_little = UsageError(
                    f"--max-cost {self.max_cost:g} is below what one request may cost "
                    f"({most:.6g}{spent}); give more, or a smaller --max-tokens"
                )
                self._stop(BUDGET if self.ledger.answers() else too_little)
                break
            self._changed.clear()
            await self._changed.wait()
        if self.stopped:
            raise _StoppedError


def _ended(steps: Steps, reply: Callable[[Request], Reply]) -> list[Line]:
    """Return what becomes of a question, whose requests get replies at once."""
    try:
        requests = next(steps)
        while True:
            requests = steps.send(list(map(reply, requests)))
    except StopIteration as end:
        lines: list[Line] = end.value
        return lines


def _longest(reply: Reply) -> Reply:
    """Return an answer as long as it can be, a character a token, in place of one to be asked."""
    most, items = reply.request.max_tokens, reply.request.items
    text = "字" * most if not items else json.dumps(["字" * (most // items)] * items)
    return Reply(reply.request, OK, Completion(text))


async def _with_models(error: ServerError, server: Asking) -> CuratrainError:
    """Name the models that a server has, where it does not know one."""
    if error.kind != failures.NOT_FOUND:
        return error
    try:
        names = await models_of(server.base, server.key)
    except ModelError:
        return error
    return ModelError(f"{error}. It has {', '.join(names[:10]) or 'none'}")
