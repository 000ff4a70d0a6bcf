"""The prompts of verbs: Jinja, in a sandbox, in Chinese and English, or the user's own.

A file has what a system message says, a line `---`, and what a user says; or the last alone. What
stays the same stands first, so that servers find it in their caches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from curate.data.describe import language_of
from curate.data.rows import Row
from curate.errors import DataError, UsageError, did_you_mean
from curate.models.protocols import Message
from curate.parameters.distill import Asking
from curate.system.files import at_home

_BETWEEN = "\n---\n"


class Prompts:
    """The prompts of one verb, each with the fields that it may use.

    A file of the user's stands for the prompt of its name, or for the only one; where no language
    is named, it is that of `texts`.
    """

    def __init__(
        self, fields: Mapping[str, Collection[str]], params: Asking, texts: Iterable[str] = ()
    ) -> None:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import SandboxedEnvironment

        self._environment = SandboxedEnvironment(undefined=StrictUndefined)
        self._parts: dict[str, list[Any]] = {}
        self.sha256: dict[str, str] = {}
        self.lang = params.lang
        if params.lang == "auto":
            self.lang = "zh" if language_of("\n".join(islice(texts, 20))) == "zh" else "en"
        own = map(Path, params.template)
        paths = {path.stem if len(fields) > 1 else next(iter(fields)): path for path in own}
        for name in paths.keys() - fields.keys():
            raise UsageError(
                f"--template {paths[name]}: there is no prompt '{name}'."
                f"{did_you_mean(name, fields)} Name the file after one of {', '.join(fields)}"
            )
        for name, allowed in fields.items():
            path = paths.get(name, Path(__file__).parent / self.lang / f"{name}.j2")
            self._add(name, path, allowed)

    def messages(self, name: str, row: Row | None = None, /, **fields: Any) -> tuple[Message, ...]:
        """Return the messages of a request; `row`, if it is about one, is named where they fail."""
        from jinja2 import TemplateError

        try:
            texts = [part.render(fields).strip() for part in self._parts[name]]
        except (TemplateError, TypeError, ValueError) as error:
            where = f"{row.source}, {row.where}: " if row else ""
            raise DataError(
                f"{where}the prompt '{name}' cannot be filled in: {error}; correct the row, or the "
                "prompt (--template)"
            ) from error
        pairs = zip(("system", "user")[-len(texts) :], texts, strict=True)
        return tuple({"role": role, "content": text} for role, text in pairs if text)

    def _add(self, name: str, path: Path, allowed: Collection[str]) -> None:
        from jinja2 import TemplateSyntaxError, meta

        text = text_of(path, "--template").replace("\r\n", "\n")
        try:
            used = meta.find_undeclared_variables(self._environment.parse(text))
            parts = text.split(_BETWEEN, 1)
            self._parts[name] = [self._environment.from_string(part) for part in parts]
        except TemplateSyntaxError as error:
            raise UsageError(
                f"--template {path}, line {error.lineno}: {error.message}; correct it there"
            ) from error
        for field in sorted(used - set(allowed)):
            raise UsageError(
                f"--template {path}: unknown field {field}; the rows have {', '.join(allowed)}."
                f"{did_you_mean(field, allowed)}"
            )
        self.sha256[name] = hashlib.sha256(text.encode()).hexdigest()


def text_of(path: str | Path | None, option: str) -> str:
    """Return the text of a file of the user's, '' without one."""
    if path is None:
        return ""
    try:
        text = at_home(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        raise UsageError(f"{option} {path} cannot be read: {why}") from error
    if not text:
        raise UsageError(f"{option} {path} is empty; write into it what is to be said")
    return text
