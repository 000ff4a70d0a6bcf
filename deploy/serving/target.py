"""From MODEL, RUN and adapters, as typed, to what an engine is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ModelError, UsageError
from curate.system.model_folder import chat_template, is_adapter
from deploy.engines.contract import Adapter, Served
from deploy.engines.device import dtype_for, has_gpu

RUN = "run.json"
SAVES = Path("saves")
DTYPES = ("auto", "float32", "bfloat16", "float16")
# What curate and train take where a tokenizer has no chat template of its own.
_PLAIN = "alpaca"
_PLAIN_FILE = Path(__file__).parent.parent / "engines" / "alpaca.jinja"
# vLLM adds them to the base one by one, and has no code for these.
_UNSERVED = ("modules_to_save", "use_dora", "alora_invocation_tokens")
# A CPU has no memory for the keys and values of 128,000 tokens.
_CPU_CONTEXT = 8192
# Of models whose config names none, such as those with ALiBi: as taken, and at most.
_UNSAID_CONTEXT, _MOST_UNSAID = 2048, 32768


@dataclass(frozen=True)
class Asked:
    """What the user typed.

    Attributes:
        model: A model's name, directory or hub id, an adapter's folder, or a run's.
        adapters: NAME=PATH each.
        dtype: One of DTYPES.
        max_length: Tokens of prompt and answer together; None for what the model has.
    """

    model: str
    adapters: tuple[str, ...] = ()
    dtype: str = "auto"
    max_length: int | None = None


def served(asked: Asked, say: Callable[[str], None] = lambda told: None) -> Served:
    """Find what is to be served."""
    from curate.models.adapter import base_of
    from curate.models.resolve import ModelFiles, resolve

    if asked.dtype not in DTYPES:
        raise UsageError(f"--dtype {asked.dtype}: allowed are {', '.join(DTYPES)}")
    folder = _folder(asked.model)
    run = _run(folder)
    given = [_named(each) for each in asked.adapters]
    if folder.is_dir() and is_adapter(folder):
        name = folder.resolve().name
        base = base_of(ModelFiles(name, folder.resolve()))
        given.insert(0, (name, folder.resolve()))
    else:
        base = resolve(str(folder) if folder.is_dir() else asked.model)
    adapters = tuple(_adapter(name, path) for name, path in given)
    known = _typed(run) or base.name
    _check_names([known, *(each.name for each in adapters)])
    jinja = chat_template(base.folder)
    config = _json(base.folder / "config.json")
    gpu = has_gpu()
    declared = str(config.get("dtype") or config.get("torch_dtype") or "")
    return Served(
        name=known,
        folder=base.folder,
        adapters=adapters,
        template=_template(run) if jinja else _template(run) or _PLAIN,
        chat_template=jinja or _PLAIN_FILE.read_text(encoding="utf-8"),
        config=config,
        context=_context(config, asked.max_length, gpu, say),
        dtype=dtype_for(declared, gpu) if asked.dtype == "auto" else asked.dtype,
        gpu=gpu,
    )


def _folder(model: str) -> Path:
    """Return the folder that is meant: as typed, or a run of that name."""
    path = Path(model).expanduser()
    if path.exists() or path.is_absolute() or not (SAVES / path / RUN).is_file():
        return path
    return SAVES / path


def _run(folder: Path) -> dict[str, Any]:
    """Return what a folder's run.json says, {} if it has none."""
    if not (folder / RUN).is_file():
        return {}
    run = _json(folder / RUN)
    state = run.get("state")
    if state != "done":
        raise ModelError(
            f"run '{folder.resolve().name}' is not finished (its state is '{state}'); go on with "
            "`train … --resume`, or name another run"
        )
    return run


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise UsageError(f"--adapter {text}: give NAME=PATH, such as medical=saves/medical")
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        raise ModelError(f"--adapter {text}: there is no folder {path}")
    return name, folder


def _adapter(name: str, folder: Path) -> Adapter:
    config = folder / "adapter_config.json"
    if not config.is_file() or not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"'{name}' is no adapter: {folder.name} needs adapter_config.json and "
            "adapter_model.safetensors; give the folder of a run of `train`"
        )
    told = _json(config)
    rank = int(told.get("r") or 0)
    if not rank or told.get("peft_type") != "LORA":
        raise ModelError(f"'{name}' is no LoRA adapter ({told.get('peft_type')}); merge it first")
    for each in _UNSERVED:
        if told.get(each):
            raise ModelError(
                f"adapter '{name}' has {each}, which cannot be served side by side; `deploy merge` "
                "makes a model of it that can be served"
            )
    return Adapter(
        name, folder, rank, _template(_run(folder)), chat_template(folder), _stop(folder)
    )


def _stop(folder: Path) -> tuple[int, ...]:
    """Return the id of the token that ends answers, by the tokenizer saved with an adapter."""
    config, tokenizer = folder / "tokenizer_config.json", folder / "tokenizer.json"
    if not (config.is_file() and tokenizer.is_file()):
        return ()
    end = _json(config).get("eos_token")
    end = end.get("content") if isinstance(end, dict) else end
    added = _json(tokenizer).get("added_tokens") or []
    return tuple(int(each["id"]) for each in added if each.get("content") == end)


def _check_names(names: Sequence[str]) -> None:
    for each in names:
        if names.count(each) > 1:
            raise UsageError(f"two of what is to be served are named '{each}'; rename an adapter")


def _typed(run: dict[str, Any]) -> str:
    """Return the base's name as `train` was given it, '' if it was given a folder."""
    name = str(run.get("model") or "")
    return "" if run.get("method") == "full" or Path(name).is_dir() else name


def _template(run: dict[str, Any]) -> str | None:
    told = run.get("template")
    return str(told) if told else None


def _context(
    config: dict[str, Any], asked: int | None, gpu: bool, say: Callable[[str], None]
) -> int:
    from curate.models.architecture import max_positions

    longest = max_positions(config)
    most = longest or _MOST_UNSAID
    if asked is not None:
        if not 1 <= asked <= most:
            raise UsageError(f"--max-length {asked}: the model takes 1 to {most} tokens")
        return asked
    if longest is None:
        say(
            f"note: the model's config names no length; {_UNSAID_CONTEXT:,} tokens of prompt and "
            "answer are taken, --max-length allows more"
        )
        return _UNSAID_CONTEXT
    return longest if gpu else min(longest, _CPU_CONTEXT)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy it again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object; copy it again")
    return found
