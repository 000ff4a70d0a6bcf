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

    fields = GGUFReader(str(path)).fields
    return {name: field.contents() for name, field in fields.items()}


def tokenizer_of(header: dict[str, Any]) -> Any:
    """Return a fast transformers tokenizer from the header of a GGUF file."""
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    table = {
        name.removeprefix("tokenizer.ggml."): value
        for name, value in header.items()
        if name.startswith("tokenizer.ggml.")
    }
    builders = {"gpt2": _byte_level, "llama": _sentencepiece}
    if table["model"] not in builders:
        raise ModelError(f"tokenizer model {table['model']!r} is not known to curate")
    core = builders[table["model"]](table)
    tokens: list[str] = table["tokens"]
    for kind, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [
            t for t, its_kind in zip(tokens, table["token_type"], strict=True) if its_kind == kind
        ]
        add = core.add_special_tokens if special else core.add_tokens
        add([AddedToken(token, special=special, normalized=False) for token in added])
    named = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    ids = {short: table.get(f"{long}_token_id") for long, short in named.items()}
    if table.get("add_bos_token"):
        bos = tokens[int(table["bos_token_id"])]
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A",
            pair=f"{bos} $A {bos} $B",
            special_tokens=[(bos, int(table["bos_token_id"]))],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        chat_template=header.get("tokenizer.chat_template"),
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **{f"{short}_token": tokens[id_] for short, id_ in ids.items() if id_ is not None},
    )


def _byte_level(table: dict[str, Any]) -> Any:
    """GPT-2's kind: merges as they stand in the file, over bytes written as letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    if table["pre"] not in _DIGITS_APART:
        raise ModelError(f"pre-tokenizer {table['pre']!r} is not known to curate")
    merges = [tuple(merge.split(" ")) for merge in table["merges"]]
    core = Tokenizer(models.BPE(vocab=_vocabulary(table), merges=merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    core.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    core.decoder = decoders.ByteLevel()
    return core


def _sentencepiece(table: dict[str, Any]) -> Any:
    """SentencePiece's BPE: the pair whose joint piece scores best is merged first."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    if table.get("add_space_prefix", True):
        raise ModelError(
            "SentencePiece tokenizers that add a leading space are not known to curate"
        )
    core = Tokenizer(
        models.BPE(
            vocab=_vocabulary(table),
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


def _vocabulary(table: dict[str, Any]) -> dict[str, int]:
    return {token: id_ for id_, token in enumerate(table["tokens"])}
