"""How a scorer runs over many rows: the plan, the journal, the workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.engine.crews import Crews
    from curate.parameters.engine import EngineParams
    from curate.scorers.contract import Engine

_CREWS: ContextVar[Crews | None] = ContextVar("crews", default=None)


@contextmanager
def using(params: EngineParams) -> Iterator[None]:
    """Let all that runs inside compute with these workers; they end with the block."""
    from curate.console import say
    from curate.engine.crews import Crews

    with closing(Crews(params, kept=True, say=say)) as crews:
        before = _CREWS.set(crews)
        try:
            yield
        finally:
            _CREWS.reset(before)


def open_engine(doing: str = "scoring") -> Engine:
    """Return the engine that all recipes run their models with; `doing` is told with progress."""
    from curate.console import progress, say
    from curate.engine.crews import Crews
    from curate.engine.local import LocalEngine
    from curate.system.cache import cache_dir

    crews, tokenising = _CREWS.get() or Crews(), progress("making tokens")
    return LocalEngine(cache_dir(), progress(doing), say, crews, tokenising)
