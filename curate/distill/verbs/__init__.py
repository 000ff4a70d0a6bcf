"""The verbs: one asks about texts, one for new tasks, all others about rows."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from curate.distill.requests import Verb

_OWN = ("document", "instruct")  # those with a file of their own


def verb_of(name: str) -> Callable[..., Verb]:
    """Return what makes a verb of what it asks about, of its parameters, and of its models."""
    home = import_module(f"{__name__}.{name if name in _OWN else 'about_rows'}")
    verb: Callable[..., Verb] = getattr(home, name)
    return verb
