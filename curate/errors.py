"""What can go wrong, in words a user can act on; every one ends a command with exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CuratrainError(Exception):
    """Something the user can put right: what was given, what is allowed, what to do next."""

    exit_code = 2

    def _render_traceback_(self) -> list[str]:
        """Return the one line that IPython shows in place of a traceback."""
        from curate.notebook.wording import in_python

        said = " ".join(line.strip() for line in str(self).splitlines() if line.strip())
        return [f"{type(self).__name__}: {in_python(said)}"]


class UsageError(CuratrainError):
    """An argument that is out of range or does not fit the others."""


class NoSuchRow(UsageError, IndexError):
    """A place or an id that no row has."""


class DataError(CuratrainError):
    """Input that cannot be read; the message names the file and where in it."""


class ModelError(CuratrainError):
    """A model that is unknown, incomplete or not allowed."""


class OutputError(CuratrainError):
    """Output that cannot be written, or that would replace something else."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest allowed word, or an empty string.

    Args:
        given: What the user typed.
        allowed: The words that would have been accepted.

    Example:
        >>> did_you_mean("smolm2", ["smollm2", "gemma3-270m"])
        " Did you mean 'smollm2'?"
    """
    near = difflib.get_close_matches(given, list(allowed), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def check_one_of(option: str, value: object, allowed: Iterable[object]) -> None:
    """Refuse an option's value that is none of the words that are allowed."""
    words = [str(word) for word in allowed]
    if str(value) not in words:
        hint = did_you_mean(str(value), words)
        raise UsageError(f"{option} {value}: allowed are {', '.join(words)}.{hint}")
