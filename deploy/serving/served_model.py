"""From MODEL, RUN and adapters, as typed, to what is served, and by which engine."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curate.errors import ModelError, UsageError, check_one_of
from curate.models.resolve import ModelFiles, base_of, resolve
from curate.models.text_tokenizer import fast_tokenizer
from curate.models.weights import max_positions
from curate.system import environments, model_folder
from curate.system.files import at_home
from curate.system.hardware import has_gpu
from curate.system.model_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, chat_template, read_json
from curate.system.run_record import RunRecord, read_run
from deploy.engines import hf, vllm
from deploy.engines.contract import Adapter, Engine, ServeCall, Served
from deploy.output import folder_of

ENGINES = ("auto", "vllm", "hf")
MAKE = "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"  # a key
_SHORT_KEY = 16
_DTYPES = ("auto", "float32", "bfloat16", "float16")
# What curate and train take where a tokenizer has no chat template of its own.
_PLAIN, _PLAIN_FILE = "alpaca", Path(__file__).parent.parent / "engines" / "alpaca.jinja"
# vLLM adds them to the base one by one, and has no code for these.
_UNSERVED = ("modules_to_save", "use_dora", "alora_invocation_tokens")
# A CPU has no memory for the keys and values of 128,000 tokens.
_CPU_CONTEXT = 8192
_MOST_SAMPLING = {"temperature": 2.0, "top_p": 1.0}
# Of models whose config names none, such as those with ALiBi: as taken, and at most.
_UNSAID_CONTEXT, _MOST_UNSAID = 2048, 32768


def check_host(host: str, key: str | None, say: Callable[[str], None]) -> None:
    """Refuse to listen where others can ask without a key."""
    if is_loopback(host):
        return
    if key is None:
        give = "give --api-key-env NAME or --api-key-file F, or keep --host 127.0.0.1"
        raise UsageError(f"--host {host} lets others ask, and there is no key: {give}. {MAKE}")
    if len(key) < _SHORT_KEY:
        say(f"note: a key of {len(key)} characters can be guessed. {MAKE}")


def is_loopback(host: str) -> bool:
    try:
        addresses = socket.getaddrinfo(host or None, None, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        own = "127.0.0.1 is this machine alone, 0.0.0.0 all of its addresses"
        raise UsageError(f"--host {host}: no address of this machine; {own}") from error
    return all(ipaddress.ip_address(address[4][0]).is_loopback for address in addresses)


def choose(name: str, served: Served) -> Engine:
    """Return an engine; `auto` is vLLM where it is installed and takes the model, else hf."""
    check_one_of("--engine", name, ENGINES)
    refusal = vllm.refusal(served)
    if name == "vllm" and refusal:
        raise UsageError(f"engine vllm: {refusal}; --engine hf serves it")
    there = bool(environments.python(vllm.environment())) and not refusal
    return vllm.ENGINE if name == "vllm" or (name == "auto" and there) else hf.engine()


def served(call: ServeCall, say: Callable[[str], None] = lambda line: None) -> Served:
    check_one_of("--dtype", call.dtype, _DTYPES)
    folder = folder_of(call.model)
    if folder:
        model_folder.refuse_reward_model(folder)
    run = _finished_run(folder) if folder else RunRecord()
    named = [named_folder(text) for text in call.adapter or ()]
    if folder and model_folder.is_adapter(folder):
        named.insert(0, (folder.resolve().name, folder.resolve()))
        base = base_of(ModelFiles(*named[0]))
    else:
        base = resolve(str(folder or call.model))
    adapters = tuple(_adapter(name, path) for name, path in named)
    # As `train` was given it, unless that was a folder.
    typed = "" if run.method == "full" or Path(run.model).is_dir() else run.model
    names = [typed or base.name, *(adapter.name for adapter in adapters)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two of what is to be served are named '{twice}'; rename an adapter")
    jinja, gpu = chat_template(base.folder), has_gpu()
    config = read_json(base.folder / model_folder.CONFIG)
    opening = "" if jinja or run.template else _opening(base.folder)
    authors = base.folder / "generation_config.json"
    recommended = read_json(authors) if authors.is_file() else {}
    declared = config.get("dtype") or config.get("torch_dtype")
    half, usual = ("float16", "bfloat16") if gpu else ("bfloat16", "float32")
    return Served(
        name=names[0],
        folder=base.folder,
        adapters=adapters,
        template=run.template or (None if jinja else _PLAIN),
        chat_template=jinja or opening + _PLAIN_FILE.read_text(encoding="utf-8"),
        opening=opening,
        config=config,
        context=_context(config, call.max_length, gpu, say),
        dtype=(half if declared == half else usual) if call.dtype == "auto" else call.dtype,
        gpu=gpu,
        sampling={
            name: float(value)
            for name, most in _MOST_SAMPLING.items()
            if isinstance(value := recommended.get(name), int | float) and 0 < value <= most
        },
    )


def _opening(folder: Path) -> str:
    """Return the word that a tokenizer writes before a text, '' if it writes none."""
    if not (folder / "tokenizer.json").is_file():
        return ""
    tokenizer = fast_tokenizer(folder)
    first, plain = (tokenizer.encode("a", add_special_tokens=special) for special in (True, False))
    return "" if first.ids[0] == plain.ids[0] else str(first.tokens[0])


def named_folder(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not (name and path):
        raise UsageError(f"--adapter {text}: give NAME=PATH, such as medical=saves/medical")
    folder = at_home(path).resolve()
    if not folder.is_dir():
        raise ModelError(f"--adapter {text}: there is no folder {path}")
    return name, folder


def _finished_run(folder: Path) -> RunRecord:
    run = read_run(folder) or RunRecord()
    if run.state != "done":
        unfinished = f"run '{folder.resolve().name}' is not finished (its state is '{run.state}')"
        raise ModelError(f"{unfinished}; go on with `train … --resume`, or name another run")
    return run


def _adapter(name: str, folder: Path) -> Adapter:
    if not (model_folder.is_adapter(folder) and (folder / ADAPTER_WEIGHTS).is_file()):
        needs = f"{folder.name} needs {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}"
        raise ModelError(f"'{name}' is no adapter: {needs}; give the folder of a run of `train`")
    model_folder.refuse_reward_model(folder)
    config = read_json(folder / ADAPTER_CONFIG)
    rank = int(config.get("r") or 0)
    if not rank or config.get("peft_type") != "LORA":
        raise ModelError(f"'{name}' is no LoRA adapter ({config.get('peft_type')}); merge it first")
    if part := next((part for part in _UNSERVED if config.get(part)), None):
        alone = f"adapter '{name}' has {part}, which cannot be served side by side"
        raise ModelError(f"{alone}; `deploy merge` makes a model of it that can be served")
    settings, tokenizer = folder / model_folder.TOKENIZER_CONFIG, folder / "tokenizer.json"
    stop: tuple[int, ...] = ()
    if settings.is_file() and tokenizer.is_file():
        end = read_json(settings).get("eos_token")
        end = end.get("content") if isinstance(end, dict) else end
        added = read_json(tokenizer).get("added_tokens") or []
        stop = tuple(int(token["id"]) for token in added if token.get("content") == end)
    return Adapter(
        name=name,
        folder=folder,
        rank=rank,
        template=_finished_run(folder).template,
        chat_template=chat_template(folder),
        stop=stop,
    )


def _context(
    config: Mapping[str, Any], asked: int | None, gpu: bool, say: Callable[[str], None]
) -> int:
    longest = max_positions(config)
    most = longest or _MOST_UNSAID
    if asked is not None and not 1 <= asked <= most:
        raise UsageError(f"--max-length {asked}: the model takes 1 to {most} tokens")
    if asked is not None:
        return asked
    if longest is None:
        tokens = f"{_UNSAID_CONTEXT:,} tokens of prompt and answer are taken"
        say(f"note: the model's config names no length; {tokens}, --max-length allows more")
        return _UNSAID_CONTEXT
    return longest if gpu else min(longest, _CPU_CONTEXT)
