"""Other libraries' loading bars, reports and warnings, kept away from the user."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_verbose = False
_lock = threading.Lock()
_inside = 0
_undo = ExitStack()


def set_verbose(verbose: bool) -> None:
    """Let everything through (`--verbose`), or keep it away (the default)."""
    global _verbose
    _verbose = verbose


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what transformers and friends print while they are imported and load.

    It replaces sys.stdout and sys.stderr for the whole process, so it belongs around loading, not
    around computing. Of several threads the first silences, the last puts everything back.
    """
    global _inside
    if _verbose:
        yield
        return
    with _lock:
        _inside += 1
        if _inside == 1:
            _silence()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _undo.close()


def _silence() -> None:
    nowhere = _Nowhere()
    before = logging.root.manager.disable
    # redirect_stderr alone is not enough: handlers made earlier hold the real stream.
    logging.disable(max(before, logging.WARNING))
    _undo.callback(logging.disable, before)
    _undo.enter_context(contextlib.redirect_stderr(nowhere))
    _undo.enter_context(contextlib.redirect_stdout(nowhere))
    _undo.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
    from transformers.utils import logging as bars

    # In a notebook they are drawn without stderr. The switch is huggingface_hub's, too.
    if bars.is_progress_bar_enabled():
        bars.disable_progress_bar()
        _undo.callback(bars.enable_progress_bar)


class _Nowhere(io.TextIOBase):
    """Takes text and keeps none: log handlers made meanwhile write to it for ever after."""

    def write(self, text: str) -> int:
        return len(text)
