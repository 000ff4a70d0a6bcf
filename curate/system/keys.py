"""A secret key: from the environment or a file, and never shown."""

from __future__ import annotations

import os
from pathlib import Path

from curate.errors import UsageError
from curate.system.files import at_home


def read_key(variable: str | None, file: Path | None, hint: str = "") -> str | None:
    """Return the key that a variable or a file holds, None if neither is named.

    `hint` is a sentence that follows every error.
    """
    if variable is None and file is None:
        return None
    if variable is not None and file is not None:
        raise UsageError("--api-key-env and --api-key-file: give one of them")
    more = f". {hint}" if hint else ""
    if file is None:
        where, text = f"--api-key-env {variable}", os.environ.get(variable or "")
        if text is None:
            unset = "there is no such environment variable; give the name of one with the key"
            raise UsageError(f"{where}: {unset}{more}")
    else:
        where = f"--api-key-file {file}"
        try:
            text = at_home(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise UsageError(f"{where} cannot be read: {why}") from error
    key = text.strip()
    if not key:
        raise UsageError(f"{where}: the key is empty{more}")
    if not all("!" <= character <= "~" for character in key):
        raise UsageError(f"{where}: a key is one line of ASCII letters without spaces{more}")
    return key
