"""What is known of a model before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Model:
    """A model to be trained.

    Attributes:
        name: What the user called it.
        path: What LLaMA-Factory is given: a folder or a hub id.
        template: LLaMA-Factory's; None where it takes the tokenizer's own apart.
        folder: Where its files lie; None for a hub id of which nothing is here.
        kind: `model_type` of its config.json, '' where that is not known.
        modules: Names of its layers as LoRA looks them up; None where they are not known.
        adapter: Folder of the adapter that is trained on, None for a new one.
        why_template: How the template was found, for people.
    """

    name: str
    path: str
    template: str | None
    folder: Path | None = None
    kind: str = ""
    modules: frozenset[str] | None = None
    adapter: Path | None = None
    why_template: str = ""
