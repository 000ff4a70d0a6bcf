"""Whether what Python hands in is of the kind that its parameter is annotated with."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

from curate.errors import UsageError

T = TypeVar("T")
# What annotations are read with. One that says more, rows in any form, is its reader's to check.
_NAMES = {"Iterable": Iterable, "Mapping": Mapping, "Path": Path, "Sequence": Sequence, "os": os}
_SEVERAL = (tuple, Sequence, Iterable)
_WORDS: dict[Any, str] = {
    **{str: "a text", int: "a whole number", float: "a number", bool: "True or False"},
    **{Path: "a path", os.PathLike: "a path", NoneType: "None", Mapping: "a dict of texts"},
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
                allowed = _told(hint)
                raise UsageError(f"{name}={repr(value)[:_LONGEST]}: allowed is {allowed}")
        return function(*arguments, **values)

    call.__module__ = "curate"
    return call


def _plain(value: Any) -> Any:
    """Return a number of NumPy's as Python's own, which alone is written into manifests."""
    return value.item() if isinstance(value, Real) and hasattr(value, "item") else value


def _hint(annotation: Any) -> Any:
    try:
        return eval(annotation, dict(_NAMES)) if isinstance(annotation, str) else None
    except NameError:
        return None


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def _told(hint: Any) -> str:
    """Return the kinds in words."""
    each = [get_args(kind)[0] if get_origin(kind) in _SEVERAL else kind for kind in _kinds(hint)]
    single = {_WORDS[get_origin(kind) or kind]: None for one in each for kind in _kinds(one)}
    several = any(get_origin(kind) in _SEVERAL for kind in _kinds(hint))
    return " or ".join(single) + (", or several in a list" if several else "")


def _is(value: Any, hint: Any) -> bool:
    """Tell whether a value is of a kind, a number being a text where both are allowed."""
    kinds = _kinds(hint)
    if str in kinds and not {int, float}.isdisjoint(kinds) and _is(value, float):
        return True
    return any(_is_one(value, kind) for kind in kinds)


def _is_one(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in _SEVERAL:  # or one alone, or nothing
        if value is None or _is(value, inner[0]):
            return True
        if isinstance(value, list | tuple):
            return all(_is(each, inner[0]) for each in value)
        return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            isinstance(text, str) for pair in value.items() for text in pair
        )
    if origin in (Path, os.PathLike):
        return isinstance(value, str | os.PathLike)
    if origin in (int, float):
        number = isinstance(value, Integral if origin is int else Real)
        return number and not isinstance(value, bool) and value == value  # no NaN
    return isinstance(value, origin)
