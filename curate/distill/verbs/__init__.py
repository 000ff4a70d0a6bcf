"""The verbs, one file each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.distill.requests import Verb


def verb_of(name: str) -> Callable[..., Verb]:
    """Return what makes a verb of what it asks about, of its parameters, and of its models."""
    home = import_module(f"{__name__}.{'answer' if name == 'prefer' else name}")
    verb: Callable[..., Verb] = getattr(home, name)
    return verb
