"""The Hugging Face hub: asked for no longer than some seconds, and why it gives nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

_SECONDS = 5.0  # to find out whether the hub can be reached at all
_Answer = TypeVar("_Answer")


def ask_hub(ask: Callable[[Any, float], _Answer]) -> _Answer:
    """Return what asking gives; TimeoutError after five seconds, whatever its own limits add up to.

    A hub behind a silent firewall is tried at each of its dozen addresses in turn.
    """
    answers: list[_Answer] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            from huggingface_hub import HfApi

            answers.append(ask(HfApi(), _SECONDS / 2))
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    if raised:
        raise raised[0]
    if not answers:
        raise TimeoutError
    return answers[0]


def why_not(error: BaseException, what: str, without: str) -> str:
    """Return in one line why the hub gave no model, say; `without` is what to do without a hub."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "its owner wants terms accepted on its page first; then `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return "it has no such revision; leave @… out for the newest"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the hub has no such {what}, or it is private (`hf auth login`)"
    if isinstance(error, errors.HFValidationError):
        return "that is no valid hub id (owner/name)"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.HfHubHTTPError) and status:
        return f"the hub answered {status}; try again later"
    if isinstance(error, OSError) and error.errno == 28:
        return "the disk is full (HF_HOME names the folder it goes to)"
    return f"the hub cannot be reached; {without}"
