"""What measures rows against the cutoff: the doctor's Cutoff under the training's template."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from train.planning.templates import Choice

if TYPE_CHECKING:
    from curate.llamafactory.doctor.truncation import Cutoff

# Templates that differ from chatml in their system prompt alone, as far as lengths go.
_LIKE_CHATML = {
    "qwen": "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    "qwen3_nothink": "",
    "smollm2": "You are a helpful AI assistant named SmolLM, trained by Hugging Face.",
}


def measure(
    folder: Path | None, choice: Choice, cutoff: int, unpacked: bool
) -> tuple[Cutoff | None, str]:
    """Return what measures rows, or None and why there is no measuring."""
    from curate.llamafactory.doctor.templates import TEMPLATES, template_in
    from curate.llamafactory.doctor.truncation import cutoff_in

    if folder is None or not (folder / "tokenizer.json").is_file():
        return None, "the model's tokenizer.json is not here"
    name = choice.name or "own"
    if name in _LIKE_CHATML:
        template = replace(TEMPLATES["chatml"], name=name, default_system=_LIKE_CHATML[name])
    elif name in TEMPLATES or name == "own":
        template = template_in(folder, name)
    else:
        return None, f"template {name} is not one that is measured"
    return cutoff_in(folder, cutoff, template, unpacked), ""
