"""Texts of rows in a page: always escaped, in their language, with what differs marked."""

from __future__ import annotations

import difflib
import re
from html import escape

from curate.data.language import language_of
from deploy.compare.pieces import HAN

# Above this, marking what differs takes longer than anybody reads.
_LONGEST = 4000
_PART = re.compile(rf"\s+|[{HAN}]|[^\W_{HAN}]+|.", re.DOTALL)
# What HTML takes for no character; tabs and line breaks stay.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LANGUAGES = {"zh": ' lang="zh-Hans"', "en": ' lang="en"'}


def escaped(text: str) -> str:
    """Return a text as HTML: nothing in it is markup.

    Args:
        text: Any.

    Example:
        >>> escaped("</script><b>")
        '&lt;/script&gt;&lt;b&gt;'
    """
    return escape(_CONTROL.sub("\ufffd", text))


def paragraph(text: str, marked: str | None = None, name: str = "text") -> str:
    """Return a text as a paragraph in its language.

    Args:
        text: Any.
        marked: The same as HTML already; made from the text if not given.
        name: CSS classes.
    """
    language = _LANGUAGES.get(language_of(text), "")
    inside = escaped(text) if marked is None else marked
    return f'<p class="{name}" dir="auto"{language}>{inside}</p>'


def differences(first: str, second: str) -> tuple[str, str]:
    """Return two texts as HTML, what only one of them has in <span class="d">.

    Args:
        first: Any.
        second: Any.

    Example:
        >>> differences("多喝水", "多喝茶")
        ('多喝<span class="d">水</span>', '多喝<span class="d">茶</span>')
    """
    ours, theirs = _PART.findall(first), _PART.findall(second)
    if max(len(ours), len(theirs)) > _LONGEST:
        return escaped(first), escaped(second)
    left, right = [], []
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for what, start, end, other_start, other_end in matcher.get_opcodes():
        same = what == "equal"
        left.append(_run("".join(ours[start:end]), same))
        right.append(_run("".join(theirs[other_start:other_end]), same))
    return "".join(left), "".join(right)


def _run(text: str, same: bool) -> str:
    if not text:
        return ""
    return escaped(text) if same else f'<span class="d">{escaped(text)}</span>'
