"""Encoders in the format of sentence-transformers: a transformer, pooling, perhaps a projection.

Read here and not by that library, because it runs classes that a directory names, and loads
weights that can run code. Known are the modules that nearly all such models are made of.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError
from curate.models.architecture import max_positions
from curate.models.quiet import quiet
from curate.models.resolve import ModelFiles, fingerprint
from curate.models.tokenizer import load_tokenizer
from curate.models.weights import check_whole

if TYPE_CHECKING:
    from curate.models.embedding.transformer import PooledTransformer

POOLING = ("cls", "mean", "max", "lasttoken", "mean_sqrt_len_tokens")
_ACTIVATIONS = ("Tanh", "Identity", "GELU", "ReLU")
_COMPUTATION = "1"
_MOST_TOKENS = 512


@dataclass(frozen=True)
class Recipe:
    """How token states become one vector.

    Attributes:
        pooling: Of POOLING; several are strung together.
        include_prompt: Whether the tokens of the prompt are pooled too.
        dense: Folder and activation of each projection, and whether it adds a bias.
        normalise: Whether the vector ends with length 1.
        longest: Tokens of a text that are read.
        lower: Whether texts are put in lower case first.
        prompt: What stands before every text.
    """

    pooling: tuple[str, ...] = ("mean",)
    include_prompt: bool = True
    dense: tuple[tuple[str, str, bool], ...] = ()
    normalise: bool = False
    longest: int = _MOST_TOKENS
    lower: bool = False
    prompt: str = ""


def load_pooled(files: ModelFiles) -> PooledTransformer:
    """Return the encoder that lies in a folder; weights are loaded by its prepare().

    Args:
        files: A sentence-transformers directory, or any transformer (mean of its last states).

    Raises:
        ModelError: Incomplete, or with modules that are not known here.
    """
    recipe, folders = read_recipe(files)
    check_whole(files.folder, files.name)
    with quiet():
        import torch

        from curate.models.embedding.transformer import PooledTransformer

        device = "cuda" if torch.cuda.is_available() else "cpu"
        tokenizer = load_tokenizer(files)
    marks = [fingerprint(files.folder), *map(fingerprint, folders), _COMPUTATION]
    return PooledTransformer(
        files,
        recipe,
        tokenizer,
        device=device,
        # Devices round differently: what one has begun, another does not go on with.
        fingerprint=_signed(*marks, device),
        origin=_signed(*marks),
    )


def _signed(*marks: str) -> str:
    return hashlib.sha256("|".join(marks).encode()).hexdigest()


def read_recipe(files: ModelFiles) -> tuple[Recipe, list[Path]]:
    """Return how an encoder pools, and the folders of its further modules.

    Args:
        files: The model's.

    Raises:
        ModelError: A module of a kind that is not known here, or a file that cannot be read.
    """
    folder = files.folder
    settings = _json(files, folder / "sentence_bert_config.json")
    prompts = _json(files, folder / "config_sentence_transformers.json")
    given = {
        "longest": _longest(files, settings),
        "lower": bool(settings.get("do_lower_case")),
        "prompt": (prompts.get("prompts") or {}).get(prompts.get("default_prompt_name"), ""),
    }
    modules = _json(files, folder / "modules.json", default=[])
    if not modules:
        return Recipe(**given), []
    kinds = [str(each.get("type", "")).rpartition(".")[2] for each in modules]
    if kinds[0] != "Transformer" or modules[0].get("path"):
        raise _unknown(files, kinds[0])
    folders, dense = [], []
    for kind, module in zip(kinds[1:], modules[1:], strict=True):
        inner = folder / str(module.get("path", ""))
        if inner.resolve().parent != folder.resolve():
            raise _unknown(files, f"{kind} in {module.get('path')}")
        told = _json(files, inner / "config.json")
        if kind == "Pooling" and "pooling" not in given:
            given |= {"pooling": _pooling(files, told)}
            given |= {"include_prompt": bool(told.get("include_prompt", True))}
        elif kind == "Dense" and "pooling" in given and "normalise" not in given:
            activation = _activation(files, inner, told)
            dense.append((inner.name, activation, bool(told.get("bias", True))))
        elif kind == "Normalize" and "normalise" not in given:
            given["normalise"] = True
        else:
            raise _unknown(files, kind)
        folders.append(inner)
    if "pooling" not in given:
        raise _unknown(files, "no Pooling")
    return Recipe(**given, dense=tuple(dense)), folders


def _pooling(files: ModelFiles, told: dict[str, Any]) -> tuple[str, ...]:
    named = told.get("pooling_mode")
    modes = [named] if isinstance(named, str) else list(named or [])
    if not modes:  # up to sentence-transformers 5, one switch a mode
        old = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}
        modes = [m for m in POOLING if told.get(f"pooling_mode_{old.get(m, m)}")]
        unknown = [k for k, v in told.items() if k.startswith("pooling_mode_") and v is True]
        if len(unknown) != len(modes):
            raise _unknown(files, f"pooling {', '.join(unknown)}")
    if not modes or any(mode not in POOLING for mode in modes):
        raise _unknown(files, f"pooling {', '.join(map(str, modes)) or 'none'}")
    return tuple(modes)


def _activation(files: ModelFiles, folder: Path, told: dict[str, Any]) -> str:
    name = str(told.get("activation_function", "torch.nn.Tanh")).rpartition(".")[2]
    if name not in _ACTIVATIONS:
        raise _unknown(files, f"activation {name}")
    if not (folder / "model.safetensors").is_file():
        raise ModelError(
            f"encoder '{files.name}': {folder.name} has no model.safetensors; .bin files are not "
            "loaded, since they can run code. Save it again with a newer sentence-transformers"
        )
    return name


def _longest(files: ModelFiles, settings: dict[str, Any]) -> int:
    """Return how many tokens are read: what the encoder says, else what its tokenizer says."""
    positions = max_positions(_json(files, files.folder / "config.json")) or _MOST_TOKENS
    told = _json(files, files.folder / "tokenizer_config.json").get("model_max_length")
    wanted = settings.get("max_seq_length") or told or positions
    return max(8, min(int(wanted), positions))


def _unknown(files: ModelFiles, what: str) -> ModelError:
    return ModelError(
        f"encoder '{files.name}' has a module that is not known here ({what}); known are a "
        f"Transformer, Pooling ({', '.join(POOLING)}), Dense and Normalize. Take another encoder"
    )


def _json(files: ModelFiles, path: Path, default: Any = None) -> Any:
    if not path.is_file():
        return {} if default is None else default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"encoder '{files.name}': {path.name} is not JSON ({error})") from error
