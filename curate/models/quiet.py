"""Other libraries' loading bars, reports and warnings, kept away from the user."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_verbose = False


def set_verbose(verbose: bool) -> None:
    """Let everything through (`--verbose`), or keep it away (the default).

    Args:
        verbose: Whether other libraries may speak.
    """
    global _verbose
    _verbose = verbose


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what transformers and friends print while they are imported and load."""
    if _verbose:
        yield
        return
    held = io.StringIO()
    # redirect_stderr alone is not enough: handlers made earlier hold the real stream.
    logging.disable(logging.WARNING)
    try:
        with (
            contextlib.redirect_stderr(held),
            contextlib.redirect_stdout(held),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
