"""The port that is listened on."""

from __future__ import annotations

import errno
import socket

from curate.errors import UsageError


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that has its port before anything is loaded."""
    if not 0 <= port < 65536:
        raise UsageError(f"--port {port}: a port is a number from 0 (any free one) to 65535")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, proto)
    except OSError as error:
        raise UsageError(f"--host {host}: {error.strerror}; 127.0.0.1 is this machine") from error
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
        found.listen(512)
    except OSError as error:
        found.close()
        raise refusal(error, host, port) from error
    return found


def refusal(error: OSError, host: str, port: int) -> UsageError:
    """Return what to tell when a port cannot be had."""
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"port {port} of {host} is in use; end what listens there, or give another, such as "
            f"--port {port + 1 if port < 65535 else 8000}"
        )
    if error.errno == errno.EACCES:
        return UsageError(f"port {port} is only for the administrator; give one from 1024 on")
    return UsageError(f"cannot listen on {host} port {port}: {error.strerror}; give --host, --port")


def url_of(found: socket.socket) -> str:
    """Return the address that clients use."""
    host, port = found.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"
