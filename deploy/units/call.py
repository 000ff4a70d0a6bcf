"""The call of `deploy serve` that a unit repeats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.errors import UsageError
from deploy.engines.choose import ENGINES
from deploy.gate.keys import is_loopback

# The group is killed when --stop-timeout is over; the supervisor waits a little longer.
GRACE = 10  # seconds


@dataclass(frozen=True)
class Unit:
    """A call of `deploy serve`.

    Attributes:
        model: As all others, what the user typed.
    """

    model: str
    engine: str = "auto"
    host: str = "127.0.0.1"
    port: int = 8000
    api_key_env: str | None = None
    api_key_file: Path | None = None
    adapters: tuple[str, ...] = ()
    dtype: str = "auto"
    max_length: int | None = None
    stop_timeout: float = 30.0


def check(unit: Unit) -> None:
    """Refuse what `deploy serve` would refuse, too, when the unit is started.

    Args:
        unit: The call.

    Raises:
        UsageError: Says which option does not do.
    """
    if unit.engine not in ENGINES:
        raise UsageError(f"--engine {unit.engine}: allowed are {', '.join(ENGINES)}")
    if not 0 < unit.port < 65536:
        raise UsageError(f"--port {unit.port}: a unit needs a fixed port, from 1 to 65535")
    if unit.api_key_env and unit.api_key_file:
        raise UsageError("--api-key-env and --api-key-file: give one of them")
    if not (unit.api_key_env or unit.api_key_file or is_loopback(unit.host)):
        raise UsageError(
            f"--host {unit.host} lets other machines ask, and there is no key: give --api-key-env "
            "NAME or --api-key-file F"
        )


def options(unit: Unit, model: str, adapters: list[str], host: str, key: list[str]) -> list[str]:
    """Return the arguments of `deploy serve`.

    Args:
        unit: The call.
        model: Where the unit finds the model.
        adapters: Where it finds adapters, NAME=PATH.
        host: That it listens on.
        key: Options that name where the key is.
    """
    found = [model, "--engine", unit.engine, "--host", host, "--port", str(unit.port)]
    for each in adapters:
        found += ["--adapter", each]
    if unit.dtype != "auto":
        found += ["--dtype", unit.dtype]
    if unit.max_length is not None:
        found += ["--max-length", str(unit.max_length)]
    return [*found, *key, "--stop-timeout", f"{unit.stop_timeout:g}"]


def absolute(text: str) -> str:
    """Return a path that holds from everywhere; what is no path here stays as it is.

    Args:
        text: A path, or a model's name.
    """
    path = Path(text).expanduser()
    return str(path.resolve()) if path.exists() else text


def adapter(text: str) -> tuple[str, str]:
    """Return name and path of --adapter.

    Args:
        text: NAME=PATH.

    Raises:
        UsageError: It is something else.
    """
    name, _, path = text.partition("=")
    if not (name and path):
        raise UsageError(f"--adapter {text}: give NAME=PATH, such as medical=saves/medical")
    return name, absolute(path)
