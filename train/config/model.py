"""The model to be trained, its template, and the reward model that ppo asks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from curate.errors import ModelError, UsageError, did_you_mean
from curate.system import model_folder
from curate.system.files import at_home
from curate.system.hub import HUBS, MODEL, Address, model_address, why_not
from curate.system.model_folder import CONFIG
from curate.system.run_record import RUN, RunRecord, read_run, runs_below
from train.config.keys import recorded

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin*")
# Small files that tell how a model is trained; its weights are LLaMA-Factory's to fetch.
_TELLING = ("config.json", "tokenizer_config.json", "tokenizer.json", "chat_template.jinja")
# Named by the bundled models' own names: their folders lie in a cache.
BUNDLED = {"smollm2": "chatml", "gemma3-270m": "gemma"}
_BY_KIND = {"bloom": "default", "gemma3_text": "gemma"}
# What a chat template says, and the template that says the same; the first that fits.
_SIGNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("<|im_start|>", "You are Qwen"), "qwen"),
    (("<|im_start|>", "<think>", "tool_response"), "qwen3"),
    (("<|im_start|>",), "chatml"),
    (("<|start_header_id|>", "<|eot_id|>"), "llama3"),
    (("<start_of_turn>", "<end_of_turn>"), "gemma"),
    (("<|end|>", "<|assistant|>", "<|user|>"), "phi"),
)
_OWN = "as LLaMA-Factory takes it apart"


@dataclass(frozen=True)
class Model:
    """A model to be trained, as far as it is known before anything is loaded."""

    name: str  # as the user typed it
    path: str  # what LLaMA-Factory is given: a folder or a hub id
    template: str | None = None  # LLaMA-Factory's; None: it takes the tokenizer's own apart
    folder: Path | None = None  # of its files; None for a hub id of which nothing is here
    kind: str = ""  # model_type of its config.json, where known
    modules: frozenset[str] | None = None  # its layers as LoRA looks them up, where known
    adapter: Path | None = None  # that is trained further
    base: str = ""  # of the adapter, as its user typed it
    missing: str = ""  # why a hub's weights are not here and cannot be fetched


def find(name: str) -> Model:
    if name in BUNDLED:  # even where a folder is called so
        return _fetched(name, name)
    path = at_home(name)
    if path.is_dir() and (path / CONFIG).is_file():
        if not any(any(path.glob(pattern)) for pattern in _WEIGHTS):
            raise ModelError(f"model directory '{name}' has no weights (*.safetensors)")
        # From another folder it is to be found, too: by the run, and by the adapter.
        return _described(Model(name=name, path=os.path.abspath(path), folder=path))
    if path.is_dir() and model_folder.is_adapter(path):
        base = find(model_folder.adapter_base(path))
        # A run that continued another's adapter holds the sum of both.
        return replace(base, name=name, adapter=path, base=base.base or base.name)
    if (path / RUN).is_file():
        raise ModelError(f"run '{name}' has no model in it: it did not end; --resume it first")
    if path.is_dir():
        raise ModelError(
            f"model directory '{name}' has no config.json; give the folder that save_pretrained "
            "wrote, a run that `train ls` lists, or a name of `curate models`"
        )
    if path.is_file():
        raise ModelError(f"'{name}' is a file; give the directory with config.json and weights")
    wanted = model_address(name)
    # LLaMA-Factory fetches from the one hub, and its newest revision.
    if wanted and wanted.hub == "hf" and not wanted.revision:
        return _described(_of_the_hub(name, wanted))
    return _fetched(name, str(wanted) if wanted else name)


def _fetched(name: str, of_hub: str) -> Model:
    from curate.models.inventory import fetched

    folder = fetched(of_hub)
    return _described(Model(name=name, path=str(folder), folder=folder))


def _described(model: Model) -> Model:
    if model.folder is not None:
        return replace(
            model,
            kind=model_folder.model_type(model.folder),
            modules=model_folder.matrices(model.folder),
        )
    from train.memory.model_shape import config_of

    try:
        return replace(model, kind=str(config_of(model.name).get("model_type", "")))
    except ModelError:
        return model


def _of_the_hub(name: str, wanted: Address) -> Model:
    """Return a model of Hugging Face's hub with its small files, fetched if they can be."""
    hub = HUBS[wanted.hub]
    folder, missing = hub.cached(MODEL, wanted), ""
    weights = any(any(folder.glob(pattern)) for pattern in _WEIGHTS) if folder else False
    if (
        not folder
        or not (folder / CONFIG).is_file()
        or not weights
        or model_folder.missing_shards(folder)
    ):
        try:
            listed = hub.files(MODEL, wanted)
            small = {file: listed[file] for file in _TELLING if file in listed}
            folder = hub.fetch(MODEL, wanted, small) if small else None
        except Exception as error:  # noqa: BLE001 - httpx, requests or hub errors, by hub version
            without = "or give a name of `curate models` or a directory"
            missing = why_not(error, MODEL, wanted, without)
    if folder and not (folder / CONFIG).is_file():
        folder = None
    return Model(name=name, path=wanted.repo, folder=folder, missing=missing)


def newest_run(saves: Path, wanted: Callable[[RunRecord], bool]) -> Path | None:
    """Return the run below a folder that was written to last, of those wanted; none is broken."""
    runs = (run for run in runs_below(saves) if run.record is not None and wanted(run.record))
    return next((run.folder for run in runs), None)


def reward_model(typed: Path | None, policy: Model, saves: Path) -> Model:
    folder = typed or newest_run(saves, lambda run: run.stage == "rm" and run.state == "done")
    if folder is None:
        raise UsageError(
            f"ppo needs a reward model, and {saves} has no finished run of stage rm; `train rm "
            "--dataset PAIRS` makes one, --reward DIR names one elsewhere"
        )
    record, wants = read_run(folder), "ppo wants the whole output of a `train rm` run"
    if record is not None and record.stage != "rm":
        raise ModelError(f"--reward {folder} is a run of stage {record.stage}; {wants}")
    if not any(folder.glob("value_head.*")):
        raise ModelError(f"--reward {folder} has no value_head.safetensors; {wants}")
    reward = find(str(folder))
    if reward.adapter and Path(reward.path).resolve() != Path(policy.path).resolve():
        raise ModelError(
            f"--reward {folder} is an adapter on {reward.base}, and {policy.name} is built on "
            f"{policy.base or policy.name}; ppo puts both on one base: train them on the same"
        )
    return reward


def template_of(model: Model, typed: str | None) -> tuple[str | None, str]:
    """Return the template to train a model with, None for the tokenizer's own, and why.

    A wrong template fails nowhere: words that the tokenizer does not know are added without
    weights, or prompt and response run into each other, and the training learns that.
    """
    known = recorded("templates")
    if typed == "own":
        return None, f"the tokenizer's own, {_OWN}"
    if typed is not None and typed not in known:
        raise UsageError(
            f"--template {typed}: LLaMA-Factory 0.9.5 has none of this name."
            f"{did_you_mean(typed, known)} Allowed are own (the tokenizer's), "
            f"{', '.join(sorted(known))}"
        )
    name, why = (typed, "given") if typed is not None else _usual_template(model)
    words = known[name] if name is not None and model.folder is not None else ()
    tokens = model_folder.vocabulary(model.folder) if words and model.folder is not None else None
    if tokens is not None and (missing := [word for word in words if word not in tokens]):
        raise ModelError(
            f"template {name} wants the tokens {' and '.join(missing)}, and the tokenizer "
            f"of {model.base or model.name} has not: LLaMA-Factory would add them, without weights "
            "that mean anything. Give another --template; `default` needs no tokens of its own"
        )
    return name, why


def _usual_template(model: Model) -> tuple[str | None, str]:
    name = model.base or model.name
    if name in BUNDLED:
        return BUNDLED[name], f"that of {name}"
    last = name.rstrip("/").rsplit("/", 1)[-1].lower()
    for template, models in recorded("models").items():
        if last in models:
            return template, "LLaMA-Factory's for a model of this name"
    if model.kind in _BY_KIND:
        return _BY_KIND[model.kind], f"that of models of the kind {model.kind}"
    if model.folder is None:
        raise UsageError(
            f"which template {name} is trained with is not known: nothing of it is on this "
            "machine. Give --template NAME (chatml, qwen, llama3, default …), or a directory"
        )
    chat = model_folder.chat_template(model.folder)
    if not chat:
        return "default", "the model has no chat template of its own"
    for words, template in _SIGNS:
        if all(word in chat for word in words):
            return template, "by the tokenizer's chat template"
    return None, f"the tokenizer's own chat template, {_OWN}"
