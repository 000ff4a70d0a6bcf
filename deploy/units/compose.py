"""A file for Docker Compose."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

from curate.data.cache import cache_dir
from curate.errors import UsageError
from deploy.engines.device import has_gpu
from deploy.units.call import GRACE, Unit, absolute, adapter, check, options

_ROOT = Path(__file__).parent.parent.parent
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_SECRET = "/run/secrets/api_key"
_PARTS = ("curate", "train", "deploy", "mixtures")
# Kept from one container to the next: models, and vLLM's environment.
_CACHE = "/cache"
_GPU = """\
deploy:
  resources:
    reservations:
      devices: [{driver: nvidia, count: all, capabilities: [gpu]}]"""


def compose(unit: Unit) -> str:
    """Return a Docker Compose file; JSON is YAML, so that nothing in it can be misread.

    Args:
        unit: The call.

    Raises:
        UsageError: Options that `deploy serve` would refuse, too.
    """
    check(unit)
    model, adapters, mounts = _mounted(unit)
    key, secret = _key(unit)
    command = ["deploy", "serve", *options(unit, model, adapters, "0.0.0.0", key)]
    if _engine(unit) == "vllm":
        # Built when it starts, where it sees the GPU; the next time it is there.
        command = ["sh", "-c", 'deploy setup vllm && exec "$@"', "sh", *command]
    published = unit.host if ":" not in unit.host else f"[{unit.host}]"
    service = [
        f"image: curatrain-serve-{_engine(unit)}",
        "build:",
        f"  context: {_quoted(str(_ROOT) if _in_checkout() else '.')}",
        "  dockerfile_inline: |",
        *(f"    {line}" for line in _dockerfile(unit)),
        f"command: {_quoted(command)}",
        *secret,
        f"ports: {_quoted([f'{published}:{unit.port}:{unit.port}'])}",
        f"volumes: {_quoted([f'cache:{_CACHE}', *mounts])}",
        "init: true",
        'cap_drop: ["ALL"]',
        'security_opt: ["no-new-privileges:true"]',
        f"stop_grace_period: {math.ceil(unit.stop_timeout) + GRACE}s",
        "restart: on-failure:3",
        *(_GPU.splitlines() if has_gpu() else []),
    ]
    lines = ["services:", "  serve:", *(f"    {each}" for each in service)]
    lines += ["volumes:", "  cache: {}"]
    if unit.api_key_file:
        file = _quoted(absolute(str(unit.api_key_file)))
        lines += ["secrets:", "  api_key:", f"    file: {file}"]
    return "\n".join([*lines, ""])


def _key(unit: Unit) -> tuple[list[str], list[str]]:
    """Return the options that name the key, and how the container gets it."""
    if unit.api_key_env:
        told = f"# One line: {unit.api_key_env}=KEY; chmod 600."
        return ["--api-key-env", unit.api_key_env], [told, 'env_file: ["./serve.env"]']
    if unit.api_key_file:
        return ["--api-key-file", _SECRET], ["secrets: [api_key]"]
    raise UsageError(
        "--print-compose: inside its container the server has to listen on all addresses, and "
        "that needs a key: give --api-key-env NAME or --api-key-file F"
    )


def _engine(unit: Unit) -> str:
    return "hf" if unit.engine == "auto" else unit.engine


def _mounted(unit: Unit) -> tuple[str, list[str], list[str]]:
    """Return model and adapters as the container sees them, and what is mounted for that."""
    model, mounts, folders = unit.model, [], []
    if Path(model).expanduser().is_dir():
        model = f"/models/{Path(model).expanduser().resolve().name}"
        mounts.append(f"{absolute(unit.model)}:{model}:ro")
        folders.append(absolute(unit.model))
    adapters = []
    for name, path in map(adapter, unit.adapters):
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


def _dockerfile(unit: Unit) -> list[str]:
    """Return how the image is built: from the checkout, or from the release of this version."""
    lines = [f"FROM python:{_PYTHON}-slim"]
    if _engine(unit) == "vllm":
        packages = "apt-get install -y --no-install-recommends g++ libnuma1"
        lines.append(f"RUN apt-get update && {packages} && rm -rf /var/lib/apt/lists/*")
    if _in_checkout():
        files = "pyproject.toml README.md LICENSE constraints-cpu.txt"
        lines.append(f"COPY {files} /src/")
        lines += [f"COPY {part} /src/{part}" for part in _PARTS]
        lines.append(
            "RUN pip install --no-cache-dir -c /src/constraints-cpu.txt '/src[offline,train-cpu]'"
        )
    else:
        from importlib.metadata import version

        release = f"curatrain[offline,train-cpu]=={version('curatrain')}"
        lines.append(f"RUN pip install --no-cache-dir '{release}'")
    if _engine(unit) == "hf":
        lines.append("RUN train setup")
    return [
        *lines,
        f"RUN useradd --create-home serve && mkdir {_CACHE} && chown serve {_CACHE}",
        "USER serve",
        "WORKDIR /home/serve",
        f"ENV CURATRAIN_CACHE={_CACHE} HF_HOME={_CACHE}/hub",
    ]


def _in_checkout() -> bool:
    return (_ROOT / "pyproject.toml").is_file()


def _quoted(value: object) -> str:
    # A $ would be a variable of Compose's own.
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")
