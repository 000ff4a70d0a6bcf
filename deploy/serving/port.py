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
        listener = socket.socket(family, kind, proto)
    except OSError as error:
        raise UsageError(f"--host {host}: {error.strerror}; 127.0.0.1 is this machine") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(512)  # that many may wait to be accepted
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port {port} of {host} is in use; end what listens there, or give another, such "
                f"as --port {port + 1 if port < 65535 else 8000}"
            ) from error
        if error.errno == errno.EACCES:
            raise UsageError(
                f"port {port} is only for the administrator; give one from 1024 on"
            ) from error
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror}; give --host, --port"
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address that clients use."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"
