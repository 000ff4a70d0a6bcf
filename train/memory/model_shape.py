"""The figures of a model that decide how much memory it takes: recorded, or counted from it.

known_models.json has those of models that are trained often, so that planning a run is instant; of
baichuan, chatglm and internlm2, which need code of their own, as published. The figures of any
other are counted from the model itself, built without weights, which takes the import of torch.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from curate.errors import ModelError, UsageError, did_you_mean
from curate.system.files import at_home
from curate.system.hub import HUBS, MODEL, model_address
from curate.system.model_folder import (
    CONFIG,
    adapter_base,
    is_adapter,
    read_json,
    stored_dtype,
    weight_bytes,
)
from train.config.model import BUNDLED

_SUFFIXES = re.compile(r"[-_](instruct|chat|hf|base|it|v\d+(\.\d+)?|mt|sft|meta)$")
_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmbt]?)", re.IGNORECASE)
_INNER = ("moe_intermediate_size", "intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner")
_HEADS, _LAYERS = ("num_attention_heads", "n_head"), ("num_hidden_layers", "n_layer")
# Models with LLaMA's proportions, for a bare number of parameters.
_TYPICAL = ("smollm2-", "llama-2-", "llama-30b")


@dataclass(frozen=True)
class ModelShape:
    """A causal language model, as far as memory is concerned."""

    name: str
    kind: str
    vocabulary: int
    hidden: int
    inner: int  # width inside a layer's inner part; in a mixture, of all experts a token takes
    layers: int
    kv_heads: int
    head_width: int
    gated: bool  # whether the inner part has a gate
    parameters: int
    unquantised: int  # outside linear modules: embeddings, head, norms, fused experts
    modules: Mapping[str, int]  # name of linear modules to the sum of their d_in + d_out


@cache
def known_models() -> dict[str, dict[str, Any]]:
    """Return `config` and `figures` of each recorded model."""
    return read_json(Path(__file__).with_name("known_models.json"))


def known_shape(name: str) -> ModelShape:
    record = known_models()[name]
    return ModelShape(name=name, kind=record["config"]["model_type"], **record["figures"])


def shape_of(config: Mapping[str, Any], name: str) -> ModelShape:
    """Return a model's shape: the recorded one, if there is one of this config, else counted."""
    sizes = _sizes(config)
    for known, record in known_models().items():
        if _sizes(record["config"]) == sizes:
            return replace(known_shape(known), name=name)
    return counted_shape(config, name)


def counted_shape(config: Mapping[str, Any], name: str) -> ModelShape:
    """Count the shape from the model that transformers builds of a config, without its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    kind = str(config.get("model_type", ""))
    try:
        whole = AutoConfig.for_model(kind, **{k: v for k, v in config.items() if k != "model_type"})
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(whole, trust_remote_code=False)
        text = whole.get_text_config()
        hidden = _most(text, ("hidden_size", "d_model"), 0)
        heads, layers = _most(text, _HEADS, 1), _most(text, _LAYERS, 1)
        inner = _most(text, _INNER, 4 * hidden)
        modules: Counter[str] = Counter()
        parameters = unquantised = sum(weight.numel() for weight in model.parameters())
        for path, module in model.named_modules():
            if type(module) not in (torch.nn.Linear, Conv1D) or path.endswith("lm_head"):
                continue
            unquantised -= module.weight.numel()
            if "vision" not in path:
                modules[path.rsplit(".", 1)[-1]] += sum(module.weight.shape)
        return ModelShape(
            name=name,
            kind=kind,
            vocabulary=int(text.vocab_size),
            hidden=hidden,
            inner=inner * _most(text, ("num_experts_per_tok", "moe_k"), 1),
            layers=layers,
            kv_heads=_most(text, ("num_key_value_heads",), heads),
            head_width=_most(text, ("head_dim",), hidden // heads),
            gated=any("gate_" in path for path, _ in model.named_parameters()),
            parameters=parameters,
            unquantised=unquantised,
            modules=dict(modules),
        )
    except Exception as error:  # the code of 150 architectures, on a config that may be anything
        reason = textwrap.shorten(str(error), 200, placeholder=" ...")
        raise ModelError(
            f"{name}: nothing can be counted of a causal language model with model_type '{kind}' "
            f"({reason}; code of a model's own is not run); --params with the number of its "
            "parameters will do"
        ) from error


def _most(config: Any, names: Sequence[str], otherwise: int) -> int:
    """Return the first of a config's numbers that is there; of one for each layer the largest."""
    for name in names:
        if value := getattr(config, name, None):
            return max(map(int, value)) if isinstance(value, list | tuple) else int(value)
    return otherwise


def stored_bytes(config: Mapping[str, Any], folder: Path | None = None) -> int:
    """Return the bytes of a weight in a model's files; 0 where neither config nor files say."""
    told: dict[str, Any] = {**(config.get("text_config") or {}), **config}
    name = told.get("dtype") or told.get("torch_dtype")
    if not name and folder is not None and weight_bytes(folder):
        name = stored_dtype(folder)
    return {"float32": 4, "float16": 2, "bfloat16": 2}.get(str(name).removeprefix("torch."), 0)


def config_of(model: str) -> dict[str, Any]:
    """Return the config of a model: its own file, or that of the known model of this name."""
    if model in BUNDLED:  # even where a folder is called so
        return dict(known_models()[model]["config"])
    path = at_home(model)
    if is_adapter(path):
        raise ModelError(f"{path} holds an adapter; give its base, {adapter_base(path)}")
    if path.is_dir():
        path /= CONFIG
        if not path.is_file():
            raise ModelError(f"{path.parent} has no {CONFIG}; give a model's own folder")
    elif wanted := model_address(model):
        cached = HUBS[wanted.hub].cached(MODEL, wanted)
        path = cached / CONFIG if cached else path
    if path.is_file():
        return read_json(path)
    if known := known_name(model):
        return dict(known_models()[known]["config"])
    raise ModelError(
        f"nothing is known of the shape of '{model}'.{did_you_mean(model.lower(), known_models())} "
        "Give a directory with config.json, a hub id whose files are in the hub's cache, a known "
        f"name (such as {', '.join(list(known_models())[:6])}), or --params 7.1B"
    )


def known_name(model: str) -> str | None:
    """Return the name of a recorded model: llama-2-7b for meta-llama/Llama-2-7b-chat-hf."""
    name = model.rsplit("/", 1)[-1].lower().removeprefix("meta-")
    while name not in known_models() and _SUFFIXES.search(name):
        name = _SUFFIXES.sub("", name)
    return name if name in known_models() else None


def typical(text: str) -> tuple[ModelShape, str]:
    """Return a shape for a number of parameters, such as 7.1B, and the model it is taken from."""
    match = _COUNT.fullmatch(text.strip())
    count = round(float(match[1]) * 1000 ** ["", *"kmbt"].index(match[2].lower())) if match else 0
    if not 1e5 <= count <= 1e14:
        raise UsageError(
            f"--params {text}: allowed is a number of parameters such as 7.1B, 135M or 7069016064"
        )
    shapes = [known_shape(name) for name in known_models() if name.startswith(_TYPICAL)]
    like = min(shapes, key=lambda s: max(s.parameters / count, count / s.parameters))
    return replace(like, name=f"{count:,} parameters", parameters=count), like.name


def _sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides a shape in a config, without what is usual and may be left out."""
    keys = {key for record in known_models().values() for key in record["config"]}
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    usual = {"num_key_value_heads": heads, "attention_bias": False, "mlp_bias": False}
    are_numbers = isinstance(heads, int) and isinstance(hidden, int)
    usual["head_dim"] = hidden // heads if are_numbers and heads else None
    sizes = {key: config.get(key) for key in keys.union(usual)}
    return {key: size for key, size in sizes.items() if size not in (None, usual.get(key))}
