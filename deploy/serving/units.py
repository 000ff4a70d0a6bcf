"""How a server is run for good: a unit for systemd, a file for Docker Compose.

Both repeat one call of `deploy serve`; their text stands in `unit_templates`.
"""

from __future__ import annotations

import getpass
import json
import math
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import UsageError
from curate.system.cache import cache_dir
from deploy.engines.choose import ENGINES
from deploy.engines.device import has_gpu
from deploy.gate.keys import is_loopback

# The group is killed when --stop-timeout is over; the supervisor waits a little longer.
_GRACE = 10  # seconds
_ROOT = Path(__file__).parent.parent.parent
_SECRET = "/run/secrets/api_key"
# Kept from one container to the next: models, and vLLM's environment.
_CACHE = "/cache"


@dataclass(frozen=True)
class Unit:
    """A call of `deploy serve`; `model`, as all others, is what the user typed."""

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


def systemd(unit: Unit) -> str:
    """Return a systemd unit; the key comes from a file that only its owner reads."""
    _check(unit)
    own = Path(sys.executable).parent / "deploy"
    program = str(own) if own.is_file() else shutil.which("deploy") or "deploy"
    adapters = [f"{name}={path}" for name, path in map(_adapter, unit.adapters)]
    arguments = _arguments(unit, _absolute(unit.model), adapters, unit.host, [])
    return _rendered(
        "systemd.service",
        unit,
        words=[program, "serve", *arguments],
        user=getpass.getuser(),
        folder=str(Path.cwd()),
        cache=str(cache_dir().resolve()),
    )


def compose(unit: Unit) -> str:
    """Return a Docker Compose file."""
    _check(unit)
    model, adapters, mounts = _mounted(unit)
    if not (unit.api_key_env or unit.api_key_file):
        raise UsageError(
            "--print-compose: inside its container the server has to listen on all addresses, and "
            "that needs a key: give --api-key-env NAME or --api-key-file F"
        )
    key = ["--api-key-env", unit.api_key_env] if unit.api_key_env else ["--api-key-file", _SECRET]
    command = ["deploy", "serve", *_arguments(unit, model, adapters, "0.0.0.0", key)]
    engine = "hf" if unit.engine == "auto" else unit.engine
    if engine == "vllm":
        # Built when it starts, where it sees the GPU; the next time it is there.
        command = ["sh", "-c", 'deploy setup vllm && exec "$@"', "sh", *command]
    published = unit.host if ":" not in unit.host else f"[{unit.host}]"
    in_checkout = (_ROOT / "pyproject.toml").is_file()
    from importlib.metadata import version

    return _rendered(
        "compose.yaml",
        unit,
        engine=engine,
        in_checkout=in_checkout,
        context=str(_ROOT) if in_checkout else ".",
        version="" if in_checkout else version("curatrain"),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        cache=_CACHE,
        command=command,
        ports=[f"{published}:{unit.port}:{unit.port}"],
        volumes=[f"cache:{_CACHE}", *mounts],
        gpu=has_gpu(),
    )


def _rendered(template: str, unit: Unit, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader

    folder = Path(__file__).parent / "unit_templates"
    environment = Environment(loader=FileSystemLoader(folder), keep_trailing_newline=True)  # noqa: S701 - no HTML
    environment.filters |= {"quoted": _quoted, "escaped": _escaped, "word": _word}
    return environment.get_template(f"{template}.jinja").render(
        unit=unit,
        key_file=_absolute(str(unit.api_key_file)),
        stop_seconds=math.ceil(unit.stop_timeout) + _GRACE,
        **values,
    )


def _check(unit: Unit) -> None:
    """Refuse what `deploy serve` would refuse, too, when the unit is started."""
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


def _arguments(unit: Unit, model: str, adapters: list[str], host: str, key: list[str]) -> list[str]:
    """Return the arguments of `deploy serve`, with models where the unit finds them."""
    arguments = [model, "--engine", unit.engine, "--host", host, "--port", str(unit.port)]
    arguments += [part for adapter in adapters for part in ("--adapter", adapter)]
    if unit.dtype != "auto":
        arguments += ["--dtype", unit.dtype]
    if unit.max_length is not None:
        arguments += ["--max-length", str(unit.max_length)]
    return [*arguments, *key, "--stop-timeout", f"{unit.stop_timeout:g}"]


def _absolute(text: str) -> str:
    """Return a path that holds from everywhere; what is no path here stays as it is."""
    path = Path(text).expanduser()
    return str(path.resolve()) if path.exists() else text


def _adapter(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if not (name and path):
        raise UsageError(f"--adapter {text}: give NAME=PATH, such as medical=saves/medical")
    return name, _absolute(path)


def _mounted(unit: Unit) -> tuple[str, list[str], list[str]]:
    """Return model and adapters as the container sees them, and what is mounted for that."""
    model, mounts, folders = unit.model, [], []
    if Path(model).expanduser().is_dir():
        model = f"/models/{Path(model).expanduser().resolve().name}"
        mounts.append(f"{_absolute(unit.model)}:{model}:ro")
        folders.append(_absolute(unit.model))
    adapters = []
    for name, path in map(_adapter, unit.adapters):
        adapters.append(f"{name}=/adapters/{name}")
        mounts.append(f"{path}:/adapters/{name}:ro")
        folders.append(path)
    bases = {base for folder in folders if (base := _base(Path(folder)))}
    return model, adapters, mounts + [f"{base}:{base}:ro" for base in sorted(bases)]


def _base(folder: Path) -> str:
    """Return the folder of the model that an adapter is added to; '' if none is to be mounted.

    What lies in the cache, the container makes again from the name in run.json.
    """
    config = folder / "adapter_config.json"
    if not config.is_file():
        return ""
    base = Path(json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path") or "")
    cached = base.is_relative_to(cache_dir().resolve()) and (folder / "run.json").is_file()
    return str(base) if base.is_absolute() and base.is_dir() and not cached else ""


def _quoted(value: object) -> str:
    # A $ would be a variable of Compose's own.
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")


def _escaped(text: str) -> str:
    return text.replace("%", "%%").replace("\n", " ")


def _word(text: str) -> str:
    """Return one argument of ExecStart=, which knows quotes, %-signs and $-variables."""
    escaped = _escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if set(escaped) & set(" \t'\"\\;") or not escaped else escaped
