"""Texts as they are compared: what is written differently and asks the same becomes the same."""

from __future__ import annotations

import functools
import html
import re
import sys
import unicodedata

# HTML's own names: `<br/>` is a tag, `List<int>` and `<none>` are text.
_NAMES = (
    "a|abbr|address|article|aside|b|blockquote|body|br|button|caption|center|cite|code|col|dd|del|"
    "div|dl|dt|em|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|label|li|"
    "link|main|mark|meta|nav|ol|option|p|pre|q|s|samp|script|section|select|small|span|strike|"
    "strong|style|sub|sup|table|tbody|td|tfoot|th|thead|title|tr|tt|u|ul|var|video"
)
_TAG = re.compile(rf"</?(?:{_NAMES})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.IGNORECASE)
# 1.5 is not 15, 2-3 not 23, and 10⁹ not 109: a mark between digits is part of the number.
# So is a minus before one that stands behind no letter.
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[^\w\s\U00010000-\U0010ffff](?=\d)|(?<![A-Za-z0-9])-(?=\d)")
# Punctuation by its Unicode category that changes what is said: 5 % is not 5, C# not C.
_SAYS_SOMETHING = "%‰#&@"
_CHINESE = r"\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_NEXT_TO_CHINESE = re.compile(rf" (?:(?<=[{_CHINESE}] )|(?=[{_CHINESE}]))")
# Where a mark between digits waits while the other marks are taken out.
_PRIVATE = 0xF0000


def fold(text: str) -> str:
    r"""Return a text as it is compared with others.

    Taken out are tags of HTML, what cannot be seen, punctuation, and white space next to Chinese;
    entities, full width, capital letters and traditional characters become what they stand for.
    A text of nothing but such things is compared by its marks.

    Example:
        >>> fold("高 血压，&nbsp;1.5 mg<br/>行嗎？") == fold("高血压 1.5 mg 行吗")
        True
        >>> fold("1.5 mg") == fold("15 mg")
        False
    """
    shown = text
    if "&" in text or "<" in text:
        shown = _TAG.sub(" ", _ENTITY.sub(lambda entity: html.unescape(entity[0]), text))
    marked = _BETWEEN_DIGITS.sub(lambda mark: chr(_PRIVATE + ord(mark[0])), _normal(shown))
    folded = _NEXT_TO_CHINESE.sub("", " ".join(marked.translate(_characters()).split()))
    return folded or " ".join(_normal(text).split())


def _normal(text: str) -> str:
    """Return a text in NFKC without capitals, but with raised digits and fractions as they are."""
    if text.isascii():
        return text.lower()
    parts = _raised().split(text)
    parts[::2] = [unicodedata.normalize("NFKC", part) for part in parts[::2]]
    return "".join(parts).casefold()


@functools.cache
def _raised() -> re.Pattern[str]:
    kinds = ("<super>", "<fraction>")
    every = (chr(code) for code in range(sys.maxunicode + 1))
    return re.compile(
        f"([{''.join(c for c in every if unicodedata.decomposition(c).startswith(kinds))}])"
    )


@functools.cache
def _characters() -> dict[int, str]:
    from opencc import OpenCC

    table: dict[int, str] = {}
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category[0] == "P" and chr(code) not in _SAYS_SOMETHING:
            table[code] = "" if chr(code) in "'’" else " "
        elif category in ("Cf", "Cc") and not chr(code).isspace():
            table[code] = ""
    for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)):  # which shape, not which sign
        table[code] = ""
    for mark in "~`^|":  # as 。 and ！ in chats, and what draws tables
        table[ord(mark)] = " "
    blocks = ((0x3400, 0xA000), (0xF900, 0xFB00), (0x20000, 0x323B0))
    characters = [chr(code) for block in blocks for code in range(*block)]
    simplified = OpenCC("t2s").convert("\n".join(characters)).split("\n")
    pairs = zip(characters, simplified, strict=True)
    table |= {ord(one): other for one, other in pairs if one != other}
    table[ord("著")] = "着"  # which of the two it is hangs on the word
    return table
