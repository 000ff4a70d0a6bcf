"""What lies in a model's folder, read without loading anything, and said for older readers, too."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from curate.errors import ModelError
from curate.system.run_record import read_run

CONFIG, TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_OLDER_CLASS, _NEWER_CLASS = "PreTrainedTokenizerFast", "TokenizersBackend"
_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


class Tensor(NamedTuple):
    """A weight as its file declares it: the format's word for its numbers is such as BF16."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def read_json(path: Path, called: str = "") -> dict[str, Any]:
    """Return a JSON object that belongs to a model, which errors call so instead of by its path."""
    shown = f"{called}: {path.name}" if called else path
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{shown} cannot be read ({error}); save or fetch it again") from error
    if not isinstance(values, dict):
        raise ModelError(f"{shown} is no JSON object; save or fetch it again")
    return values


def is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file()


def refuse_reward_model(folder: Path) -> None:
    """Raise if a folder's model judges answers, where one that gives them is wanted."""
    run = read_run(folder)
    named = read_json(folder / CONFIG).get("architectures") if (folder / CONFIG).is_file() else ()
    judges = any("SequenceClassification" in str(kind) for kind in named or ())
    if judges or (run and run.stage == "rm") or any(folder.glob("value_head.*")):
        raise ModelError(
            f"{folder} is a reward model: it judges answers and gives none. It is used as it is: "
            "curate mods --reward, deploy compare --judge"
        )


def adapter_base(folder: Path) -> str:
    """Return the model that an adapter is added to: a folder, a name or a hub id.

    The adapter names it, often by where it lay in training. Where nothing lies there any more it
    is what the user typed for `train`, unless that was another adapter to be trained further.
    """
    named = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    run = read_run(folder)
    typed = run.typed_base if run else ""
    if isinstance(named, str) and named and (not typed or Path(named).is_dir()):
        return named
    if typed:
        return typed
    raise ModelError(
        f"{folder / ADAPTER_CONFIG} does not name the model that the adapter was trained on "
        "(base_model_name_or_path); write it there"
    )


def chat_template(folder: Path) -> str:
    """Return the chat template of a tokenizer, of several the default one; '' if it has none."""
    path, settings = folder / CHAT_TEMPLATE, folder / TOKENIZER_CONFIG
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read ({error}); copy it again") from error
    template = read_json(settings).get("chat_template") if settings.is_file() else ""
    if isinstance(template, list):
        objects = (item for item in template if isinstance(item, dict))
        named = {item.get("name"): item.get("template") for item in objects}
        template = named.get("default")
    return template if isinstance(template, str) else ""


def tensors(folder: Path) -> Iterator[Tensor]:
    """Yield what the headers of a model's weight files declare."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as weights:
                for name in weights.keys():  # noqa: SIM118 - no mapping
                    part = weights.get_slice(name)
                    yield Tensor(name, part.get_dtype(), tuple(part.get_shape()))
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{path} is cut short or corrupt ({error}); fetch or copy it again"
            ) from error


def parameters(folder: Path) -> int:
    return sum(math.prod(tensor.shape) for tensor in tensors(folder))


def shards(folder: Path) -> set[str]:
    """Return the weight files that a model's index names; none where there is no index."""
    names: set[str] = set()
    for index in folder.glob("*.safetensors.index.json"):
        try:
            names |= set(read_json(index)["weight_map"].values())
        except (KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{index} cannot be read; save or fetch it again") from error
    return names


def missing_shards(folder: Path) -> list[str]:
    return sorted(name for name in shards(folder) if not (folder / name).is_file())


def stored_dtype(folder: Path) -> str:
    """Return the precision that most numbers of a model are stored in, such as `float32`."""
    numbers: Counter[str] = Counter()
    for tensor in tensors(folder):
        if tensor.dtype in _DTYPES:
            numbers[_DTYPES[tensor.dtype]] += math.prod(tensor.shape)
    return numbers.most_common(1)[0][0] if numbers else "float32"


def weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def model_type(folder: Path) -> str:
    kind = read_json(folder / CONFIG).get("model_type")
    if not isinstance(kind, str) or not kind:
        raise ModelError(
            f"{folder / CONFIG} has no model_type, and transformers cannot tell what it is; "
            "give a folder that save_pretrained wrote"
        )
    return kind


def matrices(folder: Path) -> frozenset[str] | None:
    """Return the names of a model's matrices, as LoRA looks them up; None if they are not known."""
    names = {tensor.name for tensor in tensors(folder) if len(tensor.shape) == 2}
    for index in sorted(folder.glob("*.bin.index.json")) if not names else ():
        weights = read_json(index).get("weight_map", {})
        names |= {name for name in weights if "norm" not in name and ".ln_" not in name}
    return frozenset(n.removesuffix(".weight") for n in names if n.endswith(".weight")) or None


def vocabulary(folder: Path) -> frozenset[str] | None:
    """Return the tokens of a model by name; None where it has no tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    content = read_json(path)
    words = {token["content"] for token in content.get("added_tokens", [])}
    inner = content.get("model", {}).get("vocab", {})
    # Unigram models have pairs of a token and its score.
    return frozenset(words | set(inner if isinstance(inner, dict) else (pair[0] for pair in inner)))


def for_older_readers(folder: Path) -> list[str]:
    """Say what transformers 5 wrote in transformers 4's words, too; return a line for each change.

    Older releases train and serve the same folders. They refuse the tokenizer class that 5 writes,
    and, worse, take the default where it has renamed the rotary embedding's base.
    """
    changed: list[str] = []
    tokenizer = folder / TOKENIZER_CONFIG
    if tokenizer.is_file():
        with _edited(tokenizer) as settings:
            if settings.get("tokenizer_class") == _NEWER_CLASS:
                settings["tokenizer_class"] = _OLDER_CLASS
                changed.append(f"tokenizer_class: {_NEWER_CLASS} is {_OLDER_CLASS}")
            # Older ones expect a mapping under this name; newer ones know both.
            if isinstance(settings.get("extra_special_tokens"), list):
                extra = settings.pop("extra_special_tokens")
                settings.setdefault("additional_special_tokens", extra)
                changed.append("extra_special_tokens is additional_special_tokens")
    if (folder / CONFIG).is_file():
        with _edited(folder / CONFIG) as config:
            # Where the weights lay when they were read: a path of one machine.
            config.pop("_name_or_path", None)
            config.pop("_model_name_or_path", None)
            named = config.get("rope_parameters")
            rope: dict[str, Any] = named if isinstance(named, dict) else {}
            full, local = rope.get("full_attention", rope), rope.get("sliding_attention")
            wanted: dict[str, Any] = {}
            if "rope_theta" in full:
                wanted["rope_theta"] = full["rope_theta"]
            # Those with a rope for each kind of layer say their scaling in a way of their own.
            if full is rope and full.get("rope_type", "default") != "default":
                wanted["rope_scaling"] = {key: full[key] for key in full if key != "rope_theta"}
            if local and "rope_theta" in local:
                wanted["rope_local_base_freq"] = local["rope_theta"]
            new = {key: value for key, value in wanted.items() if config.get(key) != value}
            config.update(new)
            changed += [f"{key}: {value}" for key, value in new.items()]
    return changed


@contextmanager
def _edited(path: Path) -> Iterator[dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    yield content
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
