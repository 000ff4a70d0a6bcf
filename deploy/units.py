"""Unit files for Docker Compose and systemd: how a server is run for good."""

from __future__ import annotations

import getpass
import json
import math
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from curate.data.cache import cache_dir
from curate.errors import UsageError
from deploy.engines.choose import ENGINES
from deploy.gate.keys import is_loopback

_ROOT = Path(__file__).parent.parent
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# The group is killed when --stop-timeout is over; the supervisor waits a little longer.
_GRACE = 10
_START = 1900  # seconds; a little more than an engine may take to load
_SECRET = "/run/secrets/api_key"


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


def _check(unit: Unit) -> None:
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


def _options(unit: Unit, model: str, adapters: list[str], host: str, key: list[str]) -> list[str]:
    found = [model, "--engine", unit.engine, "--host", host, "--port", str(unit.port)]
    for each in adapters:
        found += ["--adapter", each]
    if unit.dtype != "auto":
        found += ["--dtype", unit.dtype]
    if unit.max_length is not None:
        found += ["--max-length", str(unit.max_length)]
    return [*found, *key, "--stop-timeout", f"{unit.stop_timeout:g}"]


def _absolute(text: str) -> str:
    path = Path(text).expanduser()
    return str(path.resolve()) if path.exists() else text


def _absolute_adapter(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    return name, _absolute(path)


def systemd(unit: Unit) -> str:
    """Return a systemd unit; the key comes from a file that only its owner reads.

    Args:
        unit: The call.

    Raises:
        UsageError: Options that `deploy serve` would refuse, too.
    """
    _check(unit)
    program = shutil.which("deploy") or str(Path(sys.executable).parent / "deploy")
    key, lines = [], []
    if unit.api_key_env:
        key = ["--api-key-env", unit.api_key_env]
        lines = [
            f"# One line: {unit.api_key_env}=KEY; chmod 600, owned by root.",
            "EnvironmentFile=/etc/curatrain/serve.env",
        ]
    if unit.api_key_file:
        key = ["--api-key-file", "%d/api_key"]
        lines = [f"LoadCredential=api_key:{_escaped(_absolute(str(unit.api_key_file)))}"]
    adapters = [f"{name}={path}" for name, path in map(_absolute_adapter, unit.adapters)]
    options = _options(unit, _absolute(unit.model), adapters, unit.host, [])
    words = [_word(each) for each in (program, "serve", *options)] + key
    return "\n".join(
        [
            "[Unit]",
            f"Description=deploy serve {_escaped(unit.model)}",
            "After=network.target",
            "StartLimitIntervalSec=600",
            "StartLimitBurst=3",
            "",
            "[Service]",
            "Type=notify",
            f"ExecStart={' '.join(words)}",
            f"User={getpass.getuser()}",
            f"WorkingDirectory={_escaped(str(Path.cwd()))}",
            f'Environment="CURATRAIN_CACHE={_escaped(str(cache_dir().resolve()))}"',
            *lines,
            f"TimeoutStartSec={_START}",
            "# SIGTERM for deploy alone, which lets answers be finished; what is left is killed.",
            "KillMode=mixed",
            f"TimeoutStopSec={math.ceil(unit.stop_timeout) + _GRACE}",
            "Restart=on-failure",
            "RestartSec=10",
            "NoNewPrivileges=yes",
            "PrivateTmp=yes",
            "UMask=0077",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%%").replace("\n", " ")


def _word(text: str) -> str:
    """Return one argument of ExecStart=, which knows quotes, %-signs and $-variables."""
    escaped = _escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if set(escaped) & set(" \t'\"\\;") or not escaped else escaped


def compose(unit: Unit) -> str:
    """Return a Docker Compose file; JSON strings are YAML, so that nothing can be misread.

    Args:
        unit: The call.

    Raises:
        UsageError: Options that `deploy serve` would refuse, too.
    """
    _check(unit)
    model, adapters, mounts = _mounted(unit)
    key, secret = [], []
    if unit.api_key_env:
        key = ["--api-key-env", unit.api_key_env]
        secret = [f"# One line: {unit.api_key_env}=KEY; chmod 600.", 'env_file: ["./serve.env"]']
    elif unit.api_key_file:
        key = ["--api-key-file", _SECRET]
        secret = ["secrets: [api_key]"]
    else:
        raise UsageError(
            "--print-compose: inside a container the server has to listen on all of its addresses, "
            "and that needs a key: give --api-key-env NAME or --api-key-file F"
        )
    command = ["deploy", "serve", *_options(unit, model, adapters, "0.0.0.0", key)]
    published = unit.host if ":" not in unit.host else f"[{unit.host}]"
    service = [
        f"image: curatrain-serve-{_engine(unit)}",
        "build:",
        f"  context: {_quoted(str(_ROOT))}",
        "  dockerfile_inline: |",
        *(f"    {line}" for line in _dockerfile(unit)),
        f"command: {_quoted(command)}",
        *secret,
        f"ports: {_quoted([f'{published}:{unit.port}:{unit.port}'])}",
        f"volumes: {_quoted(['cache:/cache', *mounts])}",
        "init: true",
        'cap_drop: ["ALL"]',
        'security_opt: ["no-new-privileges:true"]',
        f"stop_grace_period: {math.ceil(unit.stop_timeout) + _GRACE}s",
        "restart: on-failure:3",
    ]
    lines = ["services:", "  serve:", *(f"    {each}" for each in service)]
    lines += ["volumes:", "  cache: {}"]
    if unit.api_key_file:
        file = _quoted(_absolute(str(unit.api_key_file)))
        lines += ["secrets:", "  api_key:", f"    file: {file}"]
    return "\n".join([*lines, ""])


def _engine(unit: Unit) -> str:
    return "hf" if unit.engine == "auto" else unit.engine


def _mounted(unit: Unit) -> tuple[str, list[str], list[str]]:
    """Return model and adapters as the container sees them, and what is mounted for that."""
    mounts = []
    model = unit.model
    if Path(model).expanduser().is_dir():
        model = f"/models/{Path(model).resolve().name}"
        mounts.append(f"{_absolute(unit.model)}:{model}:ro")
    adapters = []
    for name, path in map(_absolute_adapter, unit.adapters):
        adapters.append(f"{name}=/adapters/{name}")
        mounts.append(f"{path}:/adapters/{name}:ro")
    # A $ would be a variable of Compose's own.
    return model, adapters, mounts


def _dockerfile(unit: Unit) -> list[str]:
    """Return how the image is built: from the checkout, or from the release of this version."""
    setup = "deploy setup vllm" if _engine(unit) == "vllm" else "train setup"
    return [
        f"FROM python:{_PYTHON}-slim",
        "RUN useradd --create-home serve && mkdir /cache && chown serve /cache",
        "COPY . /src",
        "RUN pip install --no-cache-dir --constraint /src/constraints-cpu.txt '/src[serve]'",
        "USER serve",
        "ENV CURATRAIN_CACHE=/cache HOME=/home/serve",
        f"RUN {setup}",
    ]


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")
