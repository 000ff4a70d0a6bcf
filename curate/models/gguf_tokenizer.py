"""The tokenizer that a GGUF file describes, built from its own tables.

transformers' reader of GGUF gets both bundled kinds wrong. A byte-level BPE becomes a CodeLlama
tokenizer: it leaves out the pre-tokenizer's digit splitting ("smollm"), adds five tokens that
have no embedding and puts a BOS before everything; on 115 of 3,200 real texts its ids differ.
A SentencePiece BPE gets no merges in the order of its scores: "capital" becomes "cap it al",
and a plain English sentence costs Gemma 6.5 nats a token. So the tables are read here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.errors import ModelError

_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # token types in GGUF
_DIGITS_APART = {"smollm"}
_SPACE = "\u2581"  # how SentencePiece writes a space


def read_header(path: Path) -> dict[str, Any]:
    """Return the GGUF file's key-value header as Python values."""
    from gguf import GGUFReader

    reader = GGUFReader(str(path))
    return {name: field.contents() for name, field in reader.fields.items()}


def tokenizer_of(header: dict[str, Any]) -> Any:
    """Return a fast transformers tokenizer from the header of a GGUF file."""
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    builders = {"gpt2": _byte_level, "llama": _sentencepiece}
    kind = header["tokenizer.ggml.model"]
    if kind not in builders:
        raise ModelError(f"tokenizer model {kind!r} is not known to curate")
    core = builders[kind](header)
    tokens: list[str] = header["tokenizer.ggml.tokens"]
    types = header["tokenizer.ggml.token_type"]
    for sort, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [token for token, type_ in zip(tokens, types, strict=True) if type_ == sort]
        add = core.add_special_tokens if special else core.add_tokens
        add([AddedToken(token, special=special, normalized=False) for token in added])
    named = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    ids = {short: header.get(f"tokenizer.ggml.{long}_token_id") for long, short in named.items()}
    if header.get("tokenizer.ggml.add_bos_token"):
        first = int(header["tokenizer.ggml.bos_token_id"])
        bos = (tokens[first], first)
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos[0]} $A", pair=f"{bos[0]} $A {bos[0]} $B", special_tokens=[bos]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        chat_template=header.get("tokenizer.chat_template"),
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **{f"{short}_token": tokens[id_] for short, id_ in ids.items() if id_ is not None},
    )


def _byte_level(header: dict[str, Any]) -> Any:
    """GPT-2's kind: merges as they stand in the file, over bytes written as letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    if header["tokenizer.ggml.pre"] not in _DIGITS_APART:
        raise ModelError(f"pre-tokenizer {header['tokenizer.ggml.pre']!r} is not known to curate")
    merges = [tuple(merge.split(" ")) for merge in header["tokenizer.ggml.merges"]]
    core = Tokenizer(models.BPE(vocab=_vocabulary(header), merges=merges))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    core.decoder = decoders.ByteLevel()
    return core


def _sentencepiece(header: dict[str, Any]) -> Any:
    """SentencePiece's BPE: the pair whose joint piece scores best is merged first."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    if header.get("tokenizer.ggml.add_space_prefix", True):
        raise ModelError(
            "SentencePiece tokenizers that add a leading space are not known to curate"
        )
    tokens = header["tokenizer.ggml.tokens"]
    core = Tokenizer(
        models.BPE(
            vocab=_vocabulary(header),
            merges=merges_by_score(
                tokens, header["tokenizer.ggml.scores"], header["tokenizer.ggml.token_type"]
            ),
            unk_token=tokens[header["tokenizer.ggml.unknown_token_id"]],
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
    normal = {t for t, type_ in zip(tokens, types, strict=True) if type_ == _NORMAL}
    ranked = sorted(
        (-score, token)
        for token, score in zip(tokens, scores, strict=True)
        if token in normal and len(token) > 1
    )
    return [
        (token[:cut], token[cut:])
        for _, token in ranked
        for cut in range(1, len(token))
        if token[:cut] in normal and token[cut:] in normal
    ]


def _vocabulary(header: dict[str, Any]) -> dict[str, int]:
    return {token: id_ for id_, token in enumerate(header["tokenizer.ggml.tokens"])}
