from __future__ import annotations

from typing import Any

import pytest

from curate.models.packaged_models import merges_by_score, tokenizer_of
from curate.models.resolve import resolve
from curate.models.text_tokenizer import load_tokenizer

# pieces, score, type: as SentencePiece trains them, spaces written as they are in GGUF
PIECES = [
    *[("<pad>", -1000.0, 3), ("<bos>", -1000.0, 3), ("<eos>", -1000.0, 3), ("<unk>", -1000.0, 3)],
    *[("\n\n", -1000.0, 4), ("  ", -1000.0, 4)],
    *[(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)],
    *[("▁c", 0.0, 1), ("ap", -1.0, 1), ("it", -2.0, 1), ("al", -3.0, 1)],
    *[("ital", -4.0, 1), ("▁cap", -5.0, 1), ("▁capital", -6.0, 1), ("pit", -7.0, 1)],
    *[(letter, -100.0 - at, 1) for at, letter in enumerate("▁capitl")],
]


def header(**changes: Any) -> dict[str, Any]:
    tokens, scores, types = (list(column) for column in zip(*PIECES, strict=True))
    found = {
        "model": "llama",
        "tokens": tokens,
        "scores": scores,
        "token_type": types,
        "padding_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 3,
        "add_bos_token": True,
        "add_space_prefix": False,
        **changes,
    }
    return {f"tokenizer.ggml.{name}": value for name, value in found.items()}


def by_hand(text: str) -> list[str]:
    """SentencePiece's algorithm: merge the neighbours whose joint piece scores best."""
    scores = {piece: score for piece, score, kind in PIECES if kind == 1}
    parts = list(text.replace(" ", "▁"))
    while True:
        pairs = [a + b for a, b in zip(parts, parts[1:], strict=False)]
        known = [(-scores[pair], at) for at, pair in enumerate(pairs) if pair in scores]
        if not known:
            return parts
        at = min(known)[1]
        parts[at : at + 2] = [pairs[at]]


@pytest.mark.parametrize("text", [" capital", "capital", " cap it al", "pital", "ccapiitall", "a"])
def test_scored_pieces_are_merged_best_first(text: str) -> None:
    tokenizer = tokenizer_of(header())
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == by_hand(text)
    assert tokenizer.decode(ids) == text


def test_unknown_letters_fall_back_to_bytes_and_user_pieces_stay_whole() -> None:
    tokenizer = tokenizer_of(header())
    ids = tokenizer("é  a\n\n", add_special_tokens=False)["input_ids"]
    pieces = tokenizer.convert_ids_to_tokens(ids)
    assert pieces == ["<0xC3>", "<0xA9>", "  ", "a", "\n\n"]
    assert tokenizer.decode(ids) == "é  a\n\n"


def test_bos_is_added_only_where_the_file_says_so() -> None:
    with_bos, without = tokenizer_of(header()), tokenizer_of(header(add_bos_token=False))
    assert with_bos("a")["input_ids"] == [1, *without("a")["input_ids"]]
    assert (with_bos.bos_token, with_bos.eos_token, with_bos.pad_token) == (
        "<bos>",
        "<eos>",
        "<pad>",
    )


def test_merges_leave_control_pieces_out() -> None:
    merges = merges_by_score(["a", "b", "ab", "<s>"], [0.0, 0.0, -1.0, 0.0], [1, 1, 1, 3])
    assert merges == [("a", "b")]


RECORDED = {
    "Paris has 2148000 people in 2020.": [
        *[38634, 553, 216, 34, 33, 36, 40, 32, 32, 32, 701, 281, 216, 34, 32, 34, 32, 30]
    ],
    "法国的首都是巴黎。": [
        *[45831, 23022, 138, 11567, 180, 116, 240, 180, 38466, 27830, 36149, 129, 180, 136, 232],
        19076,
    ],
    "I 😀 it 🇫🇷 👩\u200d👧": [
        *[57, 40303, 218, 357, 15107, 225, 121, 10813, 225, 132, 15107, 235, 119, 321, 231, 10813],
        *[235, 117],
    ],
    "  two  spaces\n\n\ttab": [216, 827, 216, 5600, 1116, 197, 15999],
    "def f(x):\n    return x**2": [1604, 275, 24, 104, 727, 472, 1003, 1792, 828, 34],
    "<|im_start|>user\nhi<|im_end|>": [1, 4093, 198, 6004, 2],
    "naïve café Ünïcödé": [3546, 46494, 37366, 5549, 246, 94, 25972, 83, 7466, 84, 2756],
    "": [],
}


@pytest.mark.model
@pytest.mark.parametrize("text", RECORDED)
def test_the_bundled_tokenizer_gives_the_recorded_ids(text: str) -> None:
    tokenizer = load_tokenizer(resolve("smollm2"))
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids == RECORDED[text]
    assert tokenizer.decode(ids) == text
    assert tokenizer(text)["input_ids"] == ids  # it puts nothing around
    assert len(tokenizer) == 49152  # one embedding each
