"""A server that is run for good: a unit for systemd, a file for Docker Compose, by templates."""

from __future__ import annotations

import getpass
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from curate.errors import UsageError, check_one_of
from curate.system.cache import cache_dir
from curate.system.files import at_home
from curate.system.hardware import has_gpu
from curate.system.model_folder import adapter_base, is_adapter
from curate.system.run_record import RUN
from deploy.engines.contract import ServeCall
from deploy.output import folder_of
from deploy.serving.served_model import ENGINES, check_host, named_folder

_GRACE = 10  # seconds that a supervisor waits beyond --stop-timeout, when the group is killed
_ROOT = Path(__file__).parent.parent.parent
_SECRET = "/run/secrets/api_key"


def _checked(call: ServeCall) -> dict[str, Path]:
    check_one_of("--engine", call.engine, ENGINES)
    if not 0 < call.port < 65536:
        raise UsageError(f"--port {call.port}: a unit needs a fixed port, from 1 to 65535")
    if call.api_key_env and call.api_key_file:
        raise UsageError("--api-key-env and --api-key-file: give one of them")
    key = "to be read later" if call.api_key_env or call.api_key_file else None
    check_host(call.host, key, lambda line: None)
    return dict(map(named_folder, call.adapter or ()))


def _words(call: ServeCall, model: str, adapters: Mapping[str, object]) -> list[str]:
    words = ["serve", model, "--engine", call.engine, "--port", str(call.port)]
    for name, place in adapters.items():
        words += ["--adapter", f"{name}={place}"]
    if call.max_length is not None:
        words += ["--max-length", str(call.max_length)]
    return [*words, "--dtype", call.dtype, "--stop-timeout", f"{call.stop_timeout:g}"]


def systemd(call: ServeCall) -> str:
    """Return a systemd unit; the key comes from a file that only its owner reads."""
    adapters = _checked(call)
    own = Path(sys.executable).parent / "deploy"
    program = str(own) if own.is_file() else shutil.which("deploy") or "deploy"
    folder = folder_of(call.model)
    typed = str(folder.resolve()) if folder else call.model
    return _rendered(
        "systemd.service",
        call,
        words=[program, *_words(call, typed, adapters), "--host", call.host],
        user=getpass.getuser(),
        folder=str(Path.cwd()),
        cache=str(cache_dir().resolve()),
        # With a /tmp of its own a unit does not see what lies in this one.
        private_tmp=not any(
            path.is_relative_to(place)
            for path in (Path(program), Path(typed), Path.cwd(), cache_dir().resolve())
            for place in ("/tmp", "/var/tmp")  # noqa: S108 - looked at, not written to
        ),
    )


def compose(call: ServeCall) -> str:
    adapters = _checked(call)
    if not (call.api_key_env or call.api_key_file):
        give = "give --api-key-env NAME or --api-key-file F"
        raise UsageError(f"--print-compose: a container's server needs a key: {give}")
    folder = folder_of(call.model)
    mounts = [*([folder.resolve()] if folder else []), *adapters.values()]
    mounts += filter(None, map(_base, mounts[:]))
    # A hub's cache is made of links to files that lie beside it.
    links = [file for path in mounts for file in path.glob("*") if file.is_symlink()]
    mounts = [*dict.fromkeys((*mounts, *(link.resolve().parent for link in links)))]
    for path in [*mounts, *([at_home(call.api_key_file)] if call.api_key_file else [])]:
        for file in (path, *filter(Path.is_file, path.glob("*"))):
            if file.exists():  # a key may be put there later
                _check_readable(file)
    key = ["--api-key-env", call.api_key_env] if call.api_key_env else ["--api-key-file", _SECRET]
    model = str(folder.resolve()) if folder else call.model
    command = ["deploy", *_words(call, model, adapters), "--host", "0.0.0.0", *key]
    engine = "hf" if call.engine == "auto" else call.engine
    if engine == "vllm":
        # Built when it starts, where it sees the GPU; the next time it is there.
        command = ["sh", "-c", 'deploy setup vllm && exec "$@"', "sh", *command]
    published = call.host if ":" not in call.host else f"[{call.host}]"
    in_checkout = (_ROOT / "pyproject.toml").is_file()
    return _rendered(
        "compose.yaml",
        call,
        engine=engine,
        in_checkout=in_checkout,
        context=str(_ROOT) if in_checkout else ".",
        version="" if in_checkout else version("curatrain"),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        cache="/cache",  # kept from one container to the next: models, and vLLM's environment
        command=command,
        ports=[f"{published}:{call.port}:{call.port}"],
        # Weights and keys are often readable for their owner alone.
        user=f"{os.getuid()}:{os.getgid()}",
        # In their own places, where links and what adapters name lead.
        volumes=["cache:/cache", *(f"{path}:{path}:ro" for path in mounts)],
        gpu=has_gpu(),
    )


def _check_readable(path: Path) -> None:
    """Refuse what the container would not read: as the caller, without privileges, in one group."""
    user, group = os.getuid(), os.getgid()
    status, needed = path.stat(), 0o5 if path.is_dir() else 0o4
    shift = 6 if status.st_uid == user else 3 if status.st_gid == group else 0
    if status.st_mode >> shift & needed != needed:
        raise UsageError(
            f"--print-compose: {path} is not readable for {user}:{group}, as whom the container "
            f"runs; chmod a+r{'x' * path.is_dir()} it, or call this as its owner"
        )


def _rendered(template: str, call: ServeCall, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader

    folder = Path(__file__).parent / "unit_templates"
    environment = Environment(loader=FileSystemLoader(folder), keep_trailing_newline=True)  # noqa: S701 - no HTML
    environment.filters |= {"quoted": _quoted, "escaped": _escaped, "word": _word}
    return environment.get_template(f"{template}.jinja").render(
        call=call,
        key_file=str(at_home(call.api_key_file).resolve()) if call.api_key_file else "",
        stop_seconds=math.ceil(call.stop_timeout) + _GRACE,
        **values,
    )


def _base(folder: Path) -> Path | None:
    base = Path(adapter_base(folder)) if is_adapter(folder) else Path()
    # What lies in the cache, the container makes again from the name in run.json.
    cached = base.is_relative_to(cache_dir().resolve()) and (folder / RUN).is_file()
    return base if base.is_absolute() and base.is_dir() and not cached else None


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")  # no variable of Compose's


def _escaped(text: str) -> str:
    return text.replace("%", "%%").replace("\n", " ")


def _word(text: str) -> str:
    """Return one argument of ExecStart=, which knows quotes, %-signs and $-variables."""
    escaped = _escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if set(escaped) & set(" \t'\"\\;") or not escaped else escaped
