"""`curate/__init__.pyi`: what a type checker and an editor see of `import curate`.

Written from the functions themselves by `python -m tests.stub`; a test says when it is old.
"""

from __future__ import annotations

import inspect
from pathlib import Path

import curate

STUB = Path(curate.__file__).with_suffix(".pyi")
MADE = ("curate.api", "curate.distill.making")  # homes of functions whose keywords are made
HEAD = '''"""Made by `python -m tests.stub`."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from curate.data.read import Readable
from curate.distill.emission import Made
from curate.llamafactory.doctor.findings import Diagnosis
from curate.proofs.result import Proof
from curate.recipes.like import QuestionSets
from curate.recipes.mix import Given
'''


def text() -> str:
    """Return what the stub should hold: imports, and the functions whose keywords are made."""
    homes = curate._HOME
    imported = [f"from {homes[n]} import {n} as {n}" for n in homes if homes[n] not in MADE]
    made = [n for n in curate.__all__ if homes[n] in MADE]
    functions = [_function(n, inspect.signature(getattr(curate, n))) for n in made]
    return "\n".join([HEAD + "\n".join(sorted(imported)), *functions]) + "\n"


def _function(name: str, signature: inspect.Signature) -> str:
    lines, starred = [], False
    for each in signature.parameters.values():
        if each.kind == each.KEYWORD_ONLY and not starred:
            lines.append("    *,")
            starred = True
        hint = str(each.annotation).replace("_mix.Given", "Given")
        default = "" if each.default is each.empty else f" = {_literal(each.default)}"
        lines.append(f"    {each.name}: {hint}{default},")
    return "\n".join([f"def {name}(", *lines, f") -> {signature.return_annotation}: ..."])


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    STUB.write_text(text(), encoding="utf-8")
