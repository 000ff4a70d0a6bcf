"""Servers with OpenAI's interface: addresses, the keys they get, the clients that ask them."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from curate.errors import ModelError, UsageError
from curate.models.openai_request import CHAT, KEY, OPENAI_KEY, ServerError, failure_of, limited
from curate.system.background import in_background

# Where keys are looked for. OpenAI's own is sent to OpenAI, or to the server that the user has
# named for it, and to nobody else.
OPENAI_URL = "OPENAI_BASE_URL"
_OPENAI = "api.openai.com"
_SECONDS, _SHORT = 600.0, 20.0  # of a request; of finding out what a server has
_CONNECT_SECONDS, _LOADING_SECONDS = 5.0, 600.0
_LOCAL = {"localhost", "127.0.0.1", "::1"}
# All that is sent. The client would add what the environment says of OpenAI (organization, headers
# of the user's own), whichever server it is that is asked.
_HEADERS = {"accept", "accept-encoding", "connection", "content-length", "content-type", "host"}


def is_address(name: str) -> bool:
    return name.lower().startswith(("http://", "https://"))


def address_of(name: str) -> tuple[str, str]:
    """Return the address of a server and the name of its model, '' if that is left out."""
    base, _, model = name.partition("#")
    base = base.rstrip("/").removesuffix(CHAT)
    try:
        parts = urlsplit(base)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(
            f"the server's address cannot be read ({error}); give http://HOST:PORT/v1"
        ) from error
    if parts.username or parts.password or parts.query:
        raise UsageError(
            "the server's address holds a name, a password or a query, which would end up in "
            f"manifests; give http://HOST:PORT/v1, and the key in the environment as {KEY}"
        )
    if not host:
        raise UsageError(f"'{base}' names no server; give http://HOST:PORT/v1")
    return base, model


def is_local(base: str) -> bool:
    return urlsplit(base).hostname in _LOCAL


def key_for(base: str, environment: Mapping[str, str]) -> str:
    """Return the key to send to a server, '' for none."""
    if own := environment.get(KEY, "").strip():
        return own
    named = environment.get(OPENAI_URL, "").strip().rstrip("/")
    if urlsplit(base).hostname == _OPENAI or (named and named == base):
        return environment.get(OPENAI_KEY, "").strip()
    return ""


def check_reachable(name: str) -> None:
    """Refuse a server that nobody listens at, before minutes are spent on trying again."""
    if not is_address(name):
        return
    try:
        parts = urlsplit(name)
        host, port = parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)
        by_proxy = not is_local(name) and not proxy_bypass(host)
        if by_proxy and {parts.scheme, "all"} & getproxies().keys():
            return  # which alone knows whether anybody listens
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        start = "start it (`deploy serve RUN`), or give another address: http://HOST:PORT/v1#MODEL"
        raise ModelError(
            f"no server answers at {name.partition('#')[0]} ({why}); {start}"
        ) from error


def only_model(base: str, key: str) -> str:
    """Return the name of the one model that a server has; one that still loads is waited for."""
    until = time.monotonic() + _LOADING_SECONDS
    while True:
        try:
            names = in_background(models_of(base, key))
            break
        except ServerError as error:
            if error.wait is None or time.monotonic() + error.wait > until:
                raise error.after(1) from None
            time.sleep(error.wait)
    if len(names) != 1:
        several = ", ".join(names[:10]) or "none"
        raise ModelError(f"{base} has {len(names)} models ({several}); name one: {base}#MODEL")
    return names[0]


async def models_of(base: str, key: str) -> list[str]:
    client = connect(base, key, _SHORT)
    try:
        answer = await asyncio.wait_for(client.get("/models", cast_to=object), _SHORT)
        answer = json.loads(answer) if isinstance(answer, str) else answer
        return [str(model["id"]) for model in answer["data"]]
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{base}/models does not say which models there are; name one: {base}#MODEL"
        ) from error
    except Exception as error:  # noqa: BLE001 - what is none of the libraries' is raised
        raise failure_of(error, base, key, "/models") from None
    finally:
        await client.close()


def connect(base: str, key: str, seconds: float = _SECONDS) -> Any:
    """Return openai's client of a server, which tries nothing again.

    It follows no redirect (the key is for the server that was named), asks servers on this machine
    without a proxy, and cuts off large answers.
    """
    import openai

    async def headers(request: Any) -> None:
        for name in set(request.headers) - _HEADERS:
            del request.headers[name]
        request.headers["User-Agent"] = "curatrain"
        if key:
            request.headers["Authorization"] = f"Bearer {key}"

    async def limit(response: Any) -> None:
        response.stream = limited(response.stream)

    http = openai.DefaultAsyncHttpx2Client(
        event_hooks={"request": [headers], "response": [limit]},
        follow_redirects=False,
        trust_env=not is_local(base),
    )
    # The headers put in the real key.
    return openai.AsyncOpenAI(
        http_client=http, api_key="none", base_url=base, timeout=seconds, max_retries=0
    )
