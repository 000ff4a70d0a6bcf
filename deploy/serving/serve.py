"""A model behind the gate: started, compared with transformers, served, and ended as a whole."""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from curate.system.cache import cache_dir
from deploy.serving import ready
from deploy.serving.listening import bound
from deploy.serving.running import Plan, Run


@dataclass(frozen=True)
class Up:
    """A server that is ready.

    Attributes:
        url: Where.
        models: Names that answer.
        engine: By which engine.
        seconds: From the start to here.
        log: The engine's output.
    """

    url: str
    models: tuple[str, ...]
    engine: str
    seconds: float
    log: Path


def serve(plan: Plan, say: Callable[[str], None], up: Callable[[Up], None]) -> None:
    """Serve until a signal says stop; nothing of the engine is left when this returns."""
    began = time.monotonic()
    names = plan.engine.names(plan.served)
    with (
        _interruptible(),
        bound(plan.host, plan.port) as port,
        tempfile.TemporaryDirectory(prefix="curatrain-") as scratch,  # for this user only
    ):
        key = secrets.token_urlsafe(32)
        launch = plan.engine.launch(plan.served, Path(scratch), key)
        log = _log(plan.engine.name, port.getsockname()[1])

        def find_answers(stop: asyncio.Event) -> Awaitable[Mapping[str, str] | None]:
            return ready.expected(plan.served, names, Path(scratch), say, stop)

        run = Run(plan, launch, key, find_answers, port, log, say)
        asyncio.run(run.whole(lambda url: up(_up(plan, names, url, began, log))))


@contextmanager
def _interruptible() -> Iterator[None]:
    """End quietly, and tidy up, when a signal says stop before the engine is there."""
    before = {each: signal.signal(each, _interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for each, how in before.items():
            signal.signal(each, how)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _up(plan: Plan, names: tuple[str, ...], url: str, began: float, log: Path) -> Up:
    return Up(url, names, plan.engine.name, round(time.monotonic() - began, 1), log)


def _log(engine: str, port: int) -> Path:
    """Return an empty log that only this user can read."""
    log = cache_dir() / "logs" / f"serve-{engine}-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    log.touch(mode=0o600)
    return log
