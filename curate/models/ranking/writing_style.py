"""What a response looks like: length, layout, marks, words; no model is needed.

These numbers say how a response is written and nothing of whether it is right. They decide most
pairs of the data they are fitted on, and they are the first to mislead on other data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

_HAN = "\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[A-Za-z']+|[{_HAN}]|\d+")
_HAN_CHARACTER = re.compile(f"[{_HAN}]")
_LATIN = re.compile(r"[A-Za-z]+")
_SENTENCE = re.compile(r"[.!?。！？\n]+")
_ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)、．]|[a-zA-Z][.)])\s*", re.M)
_BULLET, _NUMBERED = re.compile(r"^\s*[-*•]", re.M), re.compile(r"^\s*\d+[.)、．]", re.M)
_HEADING = re.compile(r"^#+ ", re.M)
_ENDED = re.compile(r"[.!?。！？)）\"”'`:：]$")
_STOPPED = re.compile(r"[.!?。！？]$")
_BROKEN_OFF = re.compile(rf"[A-Za-z0-9{_HAN},，、]$")


def _either(english: str, chinese: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{english})\b|{chinese}", re.I)


_CONNECTIVE = _either(
    "because|since|therefore|thus|however|although|while|moreover|furthermore|additionally|also|"
    "such as|for example|for instance|in addition|as well as|due to|so that|which|who|first|"
    "second|finally|overall|in conclusion|by|including|not only|but",
    "因为|所以|因此|但是|然而|此外|例如|比如|首先|其次|最后|总之|同时|由于|以及|并且|另外|如果|"
    "虽然|包括",
)
_HEDGE = _either(
    "may|might|could|can|perhaps|likely|generally|typically|often", "可能|也许|一般|通常"
)
_SELF = _either("I|I'm|my|me|we|our", "我")
_READER = _either("you|your", "您|你")
_REFUSAL = _either(
    "sorry|apologi[sz]e|unable|cannot|can't|as an ai|language model",
    "抱歉|对不起|无法|作为一个|人工智能|语言模型",
)
_OPENING = re.compile(
    r"^\s*(?:sure|certainly|of course|here (?:is|are)|here's|okay|great|thank|hello|hi\b|yes|no\b|"
    "好的|当然|以下|这里|您好|你好|是的)",
    re.I,
)
_CLOSING = re.compile(
    r"(?:let me know|hope this|feel free|希望|如果[您你][有还需]|请告诉我|请随时)[^\n]*$", re.I
)


class _Text:
    """A response beside its prompt, taken apart once; a word is Latin, a number or a Han sign."""

    def __init__(self, prompt: str, response: str) -> None:
        self.prompt, self.all, self.text = prompt, response, response.strip()
        self.characters = max(1, len(response))
        self.words = _WORD.findall(response.lower())
        self.asked = set(_WORD.findall(prompt.lower()))
        self.count = max(1, len(self.words))
        self.lines = max(1, sum(bool(line.strip()) for line in response.split("\n")))
        self.sentences = max(1, sum(bool(s.strip()) for s in _SENTENCE.split(response)))
        self.items = len(_ITEM.findall(response))
        self.kinds = len(set(self.words))
        triples = list(zip(self.words, self.words[1:], self.words[2:], strict=False))
        self.repeated = 1 - len(set(triples)) / len(triples) if triples else 0.0

    def number(self, *marks: str) -> int:
        return sum(self.all.count(mark) for mark in marks)

    def many(self, *marks: str) -> float:
        return math.log1p(self.number(*marks))

    def share(self, pattern: re.Pattern[str]) -> float:
        return len(pattern.findall(self.all)) / self.count

    def has(self, pattern: re.Pattern[str]) -> float:
        return float(pattern.search(self.text) is not None)


def is_chinese(text: str) -> bool:
    """Return whether a text has at least as many Chinese characters as Latin words."""
    head = text[:2000]
    han = len(_HAN_CHARACTER.findall(head))
    return han > 0 and han >= len(_LATIN.findall(head))


_FEATURES: dict[str, Callable[[_Text], float]] = {
    "words": lambda t: math.log(t.count),
    "words_from_middle": lambda t: (math.log(t.count) - 4) ** 2,
    "words_above_2": lambda t: max(0.0, math.log(t.count) - 2),
    "words_above_3": lambda t: max(0.0, math.log(t.count) - 3),
    "words_above_4": lambda t: max(0.0, math.log(t.count) - 4),
    "words_above_5": lambda t: max(0.0, math.log(t.count) - 5),
    "one_word": lambda t: float(t.count < 2),
    "under_five_words": lambda t: float(t.count < 5),
    "lines": lambda t: math.log(t.lines),
    "blank_lines": lambda t: math.log1p(t.number("\n\n")),
    "blank_lines_share": lambda t: t.number("\n\n") / t.lines,
    "outer_space": lambda t: float(t.all != t.text),
    "items": lambda t: math.log1p(t.items),
    "items_share": lambda t: t.items / t.lines,
    "numbered": lambda t: t.has(_NUMBERED),
    "bullets": lambda t: t.has(_BULLET),
    "bold": lambda t: float("**" in t.all),
    "headings": lambda t: t.has(_HEADING),
    "code": lambda t: float("```" in t.all),
    "sentences": lambda t: math.log(t.sentences),
    "sentence_words": lambda t: math.log(t.count / t.sentences),
    "ended": lambda t: t.has(_ENDED),
    "stopped": lambda t: t.has(_STOPPED),
    "broken_off": lambda t: t.has(_BROKEN_OFF),
    "ends_with_colon": lambda t: float(t.text.endswith((":", "："))),
    "ends_with_dots": lambda t: float(t.text.endswith(("...", "…"))),
    "ends_with_exclamation": lambda t: float(t.text.endswith(("!", "！"))),
    "connectives": lambda t: math.log1p(len(_CONNECTIVE.findall(t.all))),
    "connectives_share": lambda t: t.share(_CONNECTIVE),
    "hedges_share": lambda t: t.share(_HEDGE),
    "self_share": lambda t: t.share(_SELF),
    "self": lambda t: t.has(_SELF),
    "reader_share": lambda t: t.share(_READER),
    "reader": lambda t: t.has(_READER),
    "refusal": lambda t: t.has(_REFUSAL),
    "opening": lambda t: t.has(_OPENING),
    "closing": lambda t: t.has(_CLOSING),
    "questions": lambda t: t.many("?", "？"),
    "exclamations": lambda t: t.many("!", "！"),
    "commas_share": lambda t: t.number(",", "，") / t.count,
    "colons": lambda t: t.many(":", "："),
    "brackets": lambda t: t.many("(", "（"),
    "quotes": lambda t: t.many('"', "“", "”", "「"),
    "starts_with_quote": lambda t: float(t.text[:1] in ('"', "“")),
    "dashes": lambda t: t.many(" - ", "—"),
    "semicolons": lambda t: t.many(";", "；"),
    "digits_share": lambda t: sum(c.isdigit() for c in t.all) / t.characters,
    "capitals_share": lambda t: sum(c.isupper() for c in t.all) / t.characters,
    "starts_with_capital": lambda t: float(t.text[:1].isupper()),
    "starts_with_small": lambda t: float(t.text[:1].islower()),
    "kinds_share": lambda t: t.kinds / t.count,
    "kinds_by_root": lambda t: t.kinds / math.sqrt(t.count),
    "repeated": lambda t: t.repeated,
    "word_length": lambda t: sum(map(len, t.words)) / t.count,
    "long_words_share": lambda t: sum(len(word) >= 7 for word in t.words) / t.count,
    "from_prompt_share": lambda t: sum(word in t.asked for word in t.words) / t.count,
    "prompt_covered": lambda t: len(t.asked & set(t.words)) / max(1, len(t.asked)),
    "copied": lambda t: float(t.text.lower() in t.prompt.lower()),
    "begins_like_prompt": lambda t: float(t.prompt.strip()[:30].lower() in t.text.lower()),
    "other_language": lambda t: float(is_chinese(t.prompt) != is_chinese(t.all)),
    "chinese_share": lambda t: len(_HAN_CHARACTER.findall(t.all)) / t.characters,
    "spaces_share": lambda t: t.number(" ") / t.characters,
    "double_space": lambda t: float("  " in t.all),
    "ascii_share": lambda t: sum(ord(c) < 128 for c in t.all) / t.characters,
    "not_a_character": lambda t: float("\ufffd" in t.all),
    "emoji": lambda t: float(any(ord(c) > 0x1F000 for c in t.all)),
    "tabs": lambda t: float("\t" in t.all),
    "slashes_share": lambda t: t.number("/") / t.characters,
    "address": lambda t: float("http" in t.all),
    "markup": lambda t: float("{" in t.all or "<" in t.all),
}
FORM_NAMES = tuple(_FEATURES)


def form_features(pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
    """Return what each response looks like, (pairs, len(FORM_NAMES)).

    Example:
        >>> form_features([("Name a fruit.", "An apple.")])[0, FORM_NAMES.index("ended")]
        1.0
    """
    texts = [_Text(prompt, response) for prompt, response in pairs]
    made = [[feature(text) for feature in _FEATURES.values()] for text in texts]
    return np.array(made, dtype=np.float32).reshape(len(pairs), len(_FEATURES))
