"""Many requests to one server: side by side, within its limits, tried again as it asks."""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from curate.errors import ModelError
from curate.models import openai_request
from curate.models.openai_client import connect
from curate.models.openai_request import Completion, ServerError

MINUTE = 60.0
_LATE = 0.05  # of a window: so much later than it was sent may a request be counted by the server
_FIRST_SECONDS, _MOST_SECONDS = 0.5, 30.0  # of waiting where the server does not say how long
_TRIES_OF_STRANGERS = 2  # of a server that has not answered properly yet, at what is no answer
# Settings that some servers refuse; what goes there instead, '' for leaving it out.
_INSTEAD = {"max_tokens": "max_completion_tokens", "temperature": "", "seed": ""}
_NOT_TAKEN = (
    *("support", "unknown", "unrecogni", "unexpected", "extra", "instead"),
    *("not permitted", "not allowed", "understand", "understood", "invalid param"),
)


@dataclass(frozen=True)
class Patience:
    tries: int = 7  # of a request; waiting as long as the server asks for is none
    seconds: float = 600.0  # in which a whole answer has to be there
    longest_wait: float = 600.0  # that a server may ask for, and put a request off in all


class Window:
    """At most `limit` in any stretch of so many seconds, exactly: a log of what was sent."""

    def __init__(self, limit: int, seconds: float = MINUTE) -> None:
        self.limit, self.seconds = limit, seconds
        self._entries: deque[list[float]] = deque()  # [when it no longer counts, how much it is]
        self._turn, self._settled = asyncio.Lock(), asyncio.Event()

    def wait_for(self, amount: float, now: float) -> float:
        """Return the seconds until there is room; infinite if something has to be settled first."""
        self._entries = deque(entry for entry in self._entries if entry[0] > now)
        over = sum(entry[1] for entry in self._entries) + min(amount, self.limit) - self.limit
        for until, size in sorted(self._entries):
            if over <= 0:
                break
            over -= size
            if over <= 0:
                return until - now
        return 0.0

    def enter(self, amount: float, until: float) -> list[float]:
        entry = [until, amount]
        self._entries.append(entry)
        return entry

    def settle(self, entry: list[float], amount: float, now: float) -> None:
        """Say how much it really was; it counts for a window from now on."""
        entry[:] = [now + self.seconds, amount]
        self._settled.set()

    async def take(self, amount: float, until: float | None = None) -> list[float]:
        """Wait for room, first come, first served; None counts from now on, and a little longer."""
        async with self._turn:
            while (wait := self.wait_for(amount, time.monotonic())) > 0:
                self._settled.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._settled.wait(), None if math.isinf(wait) else wait)
            late = time.monotonic() + self.seconds * (1 + _LATE)
            return self.enter(amount, late if until is None else until)


class Asking:
    """Requests to one server: so many at once, so many and of so many tokens in any window."""

    def __init__(
        self,
        base: str,
        key: str,
        concurrency: int,
        patience: Patience | None = None,
        rpm: int | None = None,
        tpm: int | None = None,
        window: float = MINUTE,
    ) -> None:
        self.base, self.concurrency, self.patience = base, concurrency, patience or Patience()
        self.left_out: dict[str, str] = {}  # settings that the server refused, and its words
        self.key, self._client, self._proven, self._resume = key, None, False, 0.0
        self._slots = asyncio.Semaphore(concurrency)
        self._requests = Window(rpm, window) if rpm else None
        self._tokens = Window(tpm, window) if tpm else None

    async def ask(
        self,
        body: Mapping[str, Any],
        most_tokens: int = 0,
        before: Callable[[], Awaitable[None]] | None = None,
        after: Callable[[Completion | ServerError], None] = lambda result: None,
    ) -> Completion:
        """Return an answer, tried for as long as there is patience.

        `most_tokens` are those of prompt and response; `before` waits until an attempt may be made,
        and `after` takes what became of it. A ServerError says why there is none.
        """
        failures, strange, waited = 0, 0, 0.0
        async with self._slots:
            while True:
                # Without the settings that the server refuses.
                names = {name: _INSTEAD[name] if name in self.left_out else name for name in body}
                sent = {names[name]: value for name, value in body.items() if names[name]}
                try:
                    completion = await self._attempt(sent, most_tokens, before, after)
                except ServerError as error:
                    if error.kind == openai_request.REFUSED and self._leave_out(sent, error.words):
                        continue
                    if error.kind not in openai_request.PASSING:
                        raise
                    if error.wait is not None:
                        waited += error.wait
                        if waited > self.patience.longest_wait:
                            raise ModelError(
                                f"{error}: it asks to wait {error.wait:,.0f} s, {waited:,.0f} s in "
                                "all; what was answered is kept: give the command again then, or "
                                "a longer --longest-wait"
                            ) from None
                        # Who was asked to wait is not asked by the others in the meantime.
                        self._pause(error.wait)
                        continue
                    failures += 1
                    strange += error.kind == openai_request.BAD_BODY and not self._proven
                    if failures >= self.patience.tries or strange >= _TRIES_OF_STRANGERS:
                        raise error.after(failures) from None
                    pause = min(_MOST_SECONDS, _FIRST_SECONDS * 2**failures)
                    pause *= random.uniform(0.75, 1)
                    if error.kind == openai_request.BUSY:
                        self._pause(pause)
                    else:
                        await asyncio.sleep(pause)
                else:
                    self._proven = True
                    return completion

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _attempt(
        self,
        body: dict[str, Any],
        most: int,
        before: Callable[[], Awaitable[None]] | None,
        after: Callable[[Completion | ServerError], None],
    ) -> Completion:
        if self._client is None:
            self._client = connect(self.base, self.key, self.patience.seconds)
        tokens = await self._tokens.take(most, math.inf) if self._tokens else None
        used = 0
        try:
            await self._room()
            if before:
                await before()
            used, seconds = most, self.patience.seconds
            try:
                ask = openai_request.complete(self._client, self.base, self.key, body, seconds)
                result = await ask
            except ServerError as error:
                after(error)
                used = most if error.billed else 0
                raise
            after(result)
            if result.prompt_tokens is not None and result.response_tokens is not None:
                used = result.prompt_tokens + result.response_tokens
            return result
        finally:
            if self._tokens and tokens is not None:
                self._tokens.settle(tokens, used, time.monotonic())

    async def _room(self) -> None:
        """Wait until the server asks for no pause any more, and may be sent one more request."""
        while True:
            while (left := self._resume - time.monotonic()) > 0:
                await asyncio.sleep(left * random.uniform(1, 1.05))
            if self._requests:
                await self._requests.take(1)
            if self._resume <= time.monotonic():  # else the pause began while there was no room
                return

    def _pause(self, seconds: float) -> None:
        self._resume = max(self._resume, time.monotonic() + seconds)

    def _leave_out(self, sent: Mapping[str, Any], words: str) -> bool:
        """Note a setting that the server refuses; return whether there was one in a request."""
        words = words.lower()
        if not any(mark in words for mark in _NOT_TAKEN):
            return False
        refused = {
            place.start(): name
            for name, instead in _INSTEAD.items()
            if name in sent and (place := re.search(rf"\b({name}|{instead or name})\b", words))
        }
        if refused:  # the first one: what it takes may be listed after what it does not
            self.left_out.setdefault(refused[min(refused)], words)
        return bool(refused)
