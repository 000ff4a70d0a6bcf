"""Texts of rows on a page: whatever they say, they are data."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from curate.data.describe import language_of

# What HTML takes for no character, and halves of one; tabs and line breaks stay.
_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_TURNS = re.compile("[\u2028-\u202e\u2066-\u2069]")
LANGUAGES = {"zh": "zh-Hans", "en": "en"}


def clean(text: str) -> str:
    """Return a text with U+FFFD in place of what is no character."""
    return _NO_CHARACTER.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return a name for the middle of a line: what would turn or break that is U+FFFD, too."""
    return _TURNS.sub("\ufffd", clean(text))


def shown(text: str) -> Markup:
    """Return a text as HTML: nothing in it is markup, and control characters are seen."""
    return escape(clean(text))


def paragraph(text: str, name: str = "text") -> Markup:
    """Return a text as a paragraph in its language."""
    language = LANGUAGES.get(language_of(text))
    attribute = Markup(' lang="{}"').format(language) if language else ""
    return Markup('<p class="{}" dir="auto"{}>{}</p>').format(name, attribute, shown(text))
