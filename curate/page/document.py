"""One self-contained HTML file from a template, a style sheet, a script and data.

Whatever texts of rows say, they are data there.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from curate.data.describe import language_of

_BASE = Path(__file__).parent
# What HTML takes for no character, and halves of one; tabs and line breaks stay.
_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_TURNS = re.compile("[\u2028-\u202e\u2066-\u2069]")
LANGUAGES = {"zh": "zh-Hans", "en": "en"}


def document(folder: Path, *filters: Callable[..., Any], data: object = None, **names: Any) -> str:
    """Return a page that loads nothing and runs no script but its own; equal bytes each time.

    A policy in its head lets only this style and this script work, known by their sha256. A
    `style` attribute would be refused, so widths and colours stand in SVG or in classes.
    `folder` has `page.html.jinja`, which extends `base.html.jinja`, with `style.css` and, where it
    needs one, `script.js`, which come after the `base` ones. The template may call `filters` by
    name, and is given `names`; every text is escaped when it is put out. The script reads `data`,
    JSON without NaN, with `unpacked()`.
    """
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader([folder, _BASE]), autoescape=True)
    for function in (shown, paragraph, *filters):
        environment.filters[function.__name__] = function
    style = _joined(_BASE / "base.css", folder / "style.css")
    script = _joined(_BASE / "base.js", folder / "script.js")
    page = environment.get_template("page.html.jinja").render(
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash_source(style),
        script_hash=_hash_source(script),
        data=packed(data) if data is not None else None,
        **names,
    )
    return clean(page)


def packed(data: object) -> tuple[str, str]:
    """Return data as JSON, gzip without a time, in base64, and what its characters are coded in."""
    whole = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text, coding = coded(whole)
    return base64.b64encode(gzip.compress(text, compresslevel=6, mtime=0)).decode(), coding


def coded(text: str) -> tuple[bytes, str]:
    """Return a text as bytes, and their coding: Chinese is a tenth smaller in UTF-16, packed."""
    utf_8 = text.encode("utf-8", "replace")
    if len(utf_8) > 1.5 * len(text):
        return text.encode("utf-16-le", "replace"), "utf-16le"
    return utf_8, "utf-8"


def _joined(*files: Path) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())


def _hash_source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


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
    language = LANGUAGES.get(language_of(text))
    attribute = Markup(' lang="{}"').format(language) if language else ""
    return Markup('<p class="{}" dir="auto"{}>{}</p>').format(name, attribute, shown(text))
