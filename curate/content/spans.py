"""Places in a text, and the text as rules read it: full width and hidden characters made plain."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

MASK = "*"
_CHINESE_DIGITS = dict(zip(map(ord, "零〇○一二三四五六七八九幺"), "0001234567891", strict=True))
_CHINESE_NUMBER = re.compile(r"[零〇○一二三四五六七八九幺](?:[ -]?[零〇○一二三四五六七八九幺]){6,}")


class Span(NamedTuple):
    start: int
    end: int
    kind: str


def plain(text: str) -> str:
    """Return a text of the same length: full width as ASCII, words for digits, simplified.

    Example:
        >>> plain("電話：１３８－一二三四五六七八")
        '电话:138-12345678'
    """
    if text.isascii():
        return text
    return _CHINESE_NUMBER.sub(lambda n: n[0].translate(_CHINESE_DIGITS), text.translate(_plain()))


@functools.cache
def _plain() -> dict[int, str]:
    """Return character to character, for those that stand for one of ASCII."""
    table: dict[int, str] = dict.fromkeys(
        [0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xA0, 0x3000], " "
    )
    table |= dict.fromkeys(map(ord, "‐‑‒–—―−－"), "-")
    table |= simplified()
    table |= {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    decimals = (code for code in range(0x80, 0x20000) if chr(code).isdecimal())
    return table | {code: str(unicodedata.digit(chr(code))) for code in decimals}


@functools.cache
def simplified() -> dict[int, str]:
    """Return traditional character to simplified one."""
    from opencc import OpenCC

    characters = [chr(code) for code in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000))]
    pairs = zip(characters, OpenCC("t2s").convert("\n".join(characters)).split("\n"), strict=True)
    return {ord(one): other for one, other in pairs if one != other and len(other) == 1}


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that overlap as one of the longest one's kind."""
    out: list[Span] = []
    for span in sorted(spans):
        if out and span.start < out[-1].end:
            longest = max(out[-1], span, key=lambda each: each.end - each.start)
            out[-1] = Span(out[-1].start, max(out[-1].end, span.end), longest.kind)
        else:
            out.append(span)
    return out


def masked(text: str, spans: Iterable[Span]) -> str:
    """Return a text of the same length in which nobody can read what stood at some places."""
    for start, end, _ in spans:
        text = text[:start] + MASK * (end - start) + text[end:]
    return text
