"""Which language a text is in, as far as its characters tell."""

from __future__ import annotations

import re

# Runs of characters: there are far fewer of them than characters.
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+")
_KANA = re.compile(r"[\u3040-\u30ff]")
_LATIN = re.compile(r"[A-Za-z]+")


def language_of(text: str) -> str:
    """Return `zh`, `en` or `other`; a Latin word counts as much as a Chinese character.

    Example:
        >>> language_of("高血压患者能吃党参吗？"), language_of("What is 1 + 1?"), language_of("42")
        ('zh', 'en', 'other')
    """
    head = text[:2000]
    han, words = sum(map(len, _HAN.findall(head))), len(_LATIN.findall(head))
    if (not han and not words) or len(_KANA.findall(head)) * 4 > han + words:
        return "other"
    return "zh" if han >= words else "en"
