r"""Escapes that stand in a text as letters: a backslash and an n where a line break was meant.

Texts that were put through JSON twice have them, and in pairs of a worse and a better response
it is nearly always the worse one: a ranker that saw them would learn the damage, not the quality.
"""

from __future__ import annotations

import re

# A backslash with r or t also begins words of TeX: `\\right`, `\\text`.
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|(?:\\r)?\\n|\\([rt])(?![a-zA-Z])")


def decode_escapes(text: str) -> str:
    r"""Return a text with literal `\n`, `\r\n`, `\r`, `\t` and `\uXXXX` decoded.

    Halves of a surrogate pair that stand together are joined, any other becomes U+FFFD. A
    word of TeX, `\text` or `\right`, is left as it is.

    Example:
        >>> decode_escapes(r"It\u2019s done.\nNext: \ud83d\ude00")
        'It’s done.\nNext: 😀'
    """
    if "\\" in text:
        text = _ESCAPE.sub(_decoded, text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _decoded(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    return "\t" if match[2] == "t" else "\n"
