"""How a scorer runs over many rows: the plan, the journal, the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.scorers.contract import Engine


def open_engine(doing: str = "scoring") -> Engine:
    """Return the engine that all recipes run their models with: this machine's.

    Args:
        doing: What the progress line says is being done.
    """
    from curate.console import progress, say
    from curate.engine.local import LocalEngine
    from curate.system.cache import cache_dir

    return LocalEngine(cache_dir() / "journals", progress(doing), say)
