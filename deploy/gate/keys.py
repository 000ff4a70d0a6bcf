"""The key that a server demands: from the environment or a file, and never shown."""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
from collections.abc import Callable
from pathlib import Path

from curate.errors import UsageError

_MAKE = "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"
_SHORT = 16


def read_key(variable: str | None, file: Path | None) -> str | None:
    if variable is None and file is None:
        return None
    if variable is not None and file is not None:
        raise UsageError("--api-key-env and --api-key-file: give one of them")
    if file is None:
        where, text = f"--api-key-env {variable}", os.environ.get(variable or "")
        if text is None:
            unset = "there is no such environment variable; give the name of one with the key"
            raise UsageError(f"{where}: {unset}. {_MAKE}")
    else:
        where = f"--api-key-file {file}"
        try:
            text = file.expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise UsageError(f"{where} cannot be read: {why}") from error
    key = text.strip()
    if not key:
        raise UsageError(f"{where}: the key is empty. {_MAKE}")
    if not all("!" <= character <= "~" for character in key):
        raise UsageError(f"{where}: a key is one line of ASCII letters without spaces. {_MAKE}")
    return key


def check_host(host: str, key: str | None, say: Callable[[str], None]) -> None:
    """Refuse to listen where others can ask without a key."""
    if is_loopback(host):
        return
    if key is None:
        give = "give --api-key-env NAME or --api-key-file F, or keep --host 127.0.0.1"
        raise UsageError(f"--host {host} lets others ask, and there is no key: {give}. {_MAKE}")
    if len(key) < _SHORT:
        say(f"note: a key of {len(key)} characters can be guessed. {_MAKE}")


def is_loopback(host: str) -> bool:
    try:
        addresses = socket.getaddrinfo(host or None, None, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        own = "127.0.0.1 is this machine alone, 0.0.0.0 all of its addresses"
        raise UsageError(f"--host {host}: no address of this machine; {own}") from error
    return all(ipaddress.ip_address(address[4][0]).is_loopback for address in addresses)


def is_right(header: str | None, key: str) -> bool:
    """Compare what a client sent with the key, taking the same time for any wrong one."""
    scheme, _, sent = (header or "").partition(" ")
    same = hmac.compare_digest(sent.strip().encode("utf-8", "replace"), key.encode())
    return same and scheme.lower() == "bearer"
