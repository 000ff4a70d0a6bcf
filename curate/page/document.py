"""One self-contained HTML file from a template, a style sheet, a script and data."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from curate.page.texts import clean, paragraph, shown

_BASE = Path(__file__).parent


def document(folder: Path, *filters: Callable[..., Any], data: object = None, **names: Any) -> str:
    """Return a page that loads nothing and runs no script but its own; equal bytes each time.

    A policy in its head lets only this style and this script work, known by their sha256. A
    `style` attribute would be refused, so widths and colours stand in SVG or in classes.

    Args:
        folder: `page.html.jinja`, which extends `base.html.jinja`, with `style.css` and, where it
            needs one, `script.js`, which come after the `base` ones.
        filters: Functions that the template may call by name.
        data: For the script, as JSON without NaN; it reads it with `unpacked()`.
        names: What the template is given. Every text is escaped when it is put out.

    Example:
        `document(Path(__file__).parent / "page", report=report, data={"rows": rows})`
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
    text, coding = coded(
        json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    )
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
