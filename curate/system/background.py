"""Coroutines beside everything else, which can be waited for anywhere: in notebooks, too."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
_TIDYING_SECONDS = 5.0


def in_background(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the process's event loop, wait for it, and stop it with this thread."""
    ended = threading.Event()

    async def whole() -> T:
        try:
            return await work
        finally:
            ended.set()

    running = asyncio.run_coroutine_threadsafe(whole(), _loop(os.getpid()))
    try:
        return running.result()
    except BaseException:
        if running.cancel():
            ended.wait(_TIDYING_SECONDS)
        raise


@cache
def _loop(_process: int) -> asyncio.AbstractEventLoop:
    """Return the loop of a process: one that was forked has no thread of its parent."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="curate-background", daemon=True).start()
    return loop
