"""Whether what Python hands in is of the kind that its parameter is annotated with."""

from __future__ import annotations

import inspect
import os
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

import numpy as np

from curate.errors import UsageError

T = TypeVar("T")
# What annotations are read with. One that says more, rows in any form, is its reader's to check.
_NAMES = {"Iterable": Iterable, "Mapping": Mapping, "Path": Path, "Sequence": Sequence, "os": os}
_SEVERAL = (tuple, Sequence, Iterable)
# What a value has to be, and in words.
_KINDS: dict[Any, tuple[Any, str]] = {
    **{str: (str, "a text"), bool: (bool, "True or False"), NoneType: (NoneType, "None")},
    **{int: (Integral, "a whole number"), float: (Real, "a number")},
    **{kind: (str | os.PathLike, "a path") for kind in (Path, os.PathLike)},
    Mapping: (Mapping, "a dict of texts"),  # which one is none its reader says
}
_LONGEST = 60  # characters of a value that are told


def checked(function: Callable[..., T]) -> Callable[..., T]:
    """Return a function that refuses values of other kinds than its annotations say."""
    signature = inspect.signature(function)
    hints = {name: _hint(each.annotation) for name, each in signature.parameters.items()}

    @wraps(function)
    def call(*arguments: Any, **values: Any) -> T:
        arguments, values = tuple(map(_plain, arguments)), {n: _plain(v) for n, v in values.items()}
        for name, value in (signature.bind_partial(*arguments).arguments | values).items():
            hint = hints.get(name)
            if hint is not None and not _is(value, hint):
                text = textwrap.shorten(repr(value), _LONGEST, placeholder=" …")
                raise UsageError(f"{name}={text}: allowed is {_told(hint)}")
        return function(*arguments, **values)

    call.__module__ = "curate"
    return call


def _plain(value: Any) -> Any:
    """Return a value of NumPy's as Python's own, which alone is written into manifests."""
    return value.item() if isinstance(value, np.generic) else value


def _hint(annotation: Any) -> Any:
    try:
        return eval(annotation, dict(_NAMES)) if isinstance(annotation, str) else None
    except NameError:
        return None


def _takes_several(hint: Any) -> bool:
    each = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return any(get_origin(kind) in _SEVERAL for kind in each)


def _kinds(hint: Any) -> dict[Any, None]:
    """Return the kinds of one value, those of several in a list, too."""
    origin = get_origin(hint) or hint
    if origin is UnionType:
        return {kind: None for each in get_args(hint) for kind in _kinds(each)}
    return _kinds(get_args(hint)[0]) if origin in _SEVERAL else {origin: None}


def _told(hint: Any) -> str:
    """Return the kinds in words."""
    words = dict.fromkeys(_KINDS[kind][1] for kind in _kinds(hint))
    return " or ".join(words) + (", or several in a list" if _takes_several(hint) else "")


def _is(value: Any, hint: Any) -> bool:
    """Tell whether a value is of a kind; of several one will do, or None."""
    kinds = _kinds(hint)
    if _is_one(value, kinds) or not _takes_several(hint):
        return _is_one(value, kinds)
    if isinstance(value, list | tuple):
        return all(_is_one(each, kinds) for each in value)
    return value is None or (isinstance(value, Iterable) and not isinstance(value, bytes | Mapping))


def _is_one(value: Any, kinds: Collection[Any]) -> bool:
    """Tell whether one value is of a kind, a number being a text where both are allowed."""
    if str in kinds and not {int, float}.isdisjoint(kinds):
        kinds = {*kinds, float}
    if isinstance(value, bool):
        return bool in kinds
    return any(isinstance(value, _KINDS[kind][0]) for kind in kinds) and value == value  # no NaN
