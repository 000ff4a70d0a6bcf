"""A parameter with its help, declared once for the command, the Python function, the manifest."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, TypeVar, get_origin, get_type_hints

from curate.errors import UsageError, check_one_of, did_you_mean
from curate.parameters.budget import DEFAULT_KEEP, METAVAR, parse_budget

T = TypeVar("T")
# Between values that belong together; no argument of a command can hold it.
BETWEEN = "\0"
_KEY = "option"
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD


@dataclass(frozen=True)
class Option:
    """How a field of a parameters class is offered."""

    help: str  # one sentence
    metavar: str | None = None  # what stands for the value
    shown: str = ""  # the default in words, where the value does not say it
    command: bool = True  # whether the command line has it
    python: bool = True  # whether the Python function has it
    positional: bool = False  # the Python function takes it without its name, and has to have it
    typed: Any = None  # the command line's default, where it is another
    several: bool = False  # the command line takes all values up to the next option
    together: bool = False  # and they belong together: they are one value, with BETWEEN in between
    apart: tuple[str, ...] = ()  # endings of what is no value of it all the same
    words: tuple[str, ...] = ()  # the only values there are; the first one where none is given
    least: int | None = None  # the lowest number that is allowed
    allowed: tuple[str, ...] = ()  # words; all where there are none
    check: Callable[[Any], object] | None = None  # refuses a value


def option(default: Any, help_: str, **how: Any) -> Any:
    """Return a dataclass field with its help; see Option for the rest.

    A metavar with … tells that several values may follow.
    """
    if allowed := how.get("allowed"):
        how.setdefault("metavar", "|".join(allowed))
    how.setdefault("several", "…" in (how.get("metavar") or ""))
    return field(default=default, metadata={_KEY: Option(help_, **how)})


def filled_in(default: Any = (), **how: Any) -> Any:
    """Return a field that nobody can set: a recipe notes in it what it has read."""
    return option(default, "", command=False, python=False, **how)


def keep() -> Any:
    help_ = "Share of all rows or number; 10%-tokens, 2M-tokens: of the responses' tokens."
    return option(None, help_, shown=DEFAULT_KEEP, metavar=METAVAR, check=parse_budget)


def tokenizer() -> Any:
    return option(
        None,
        "Whose tokens count: a model, or a folder with its tokenizer.",
        metavar="M",
        shown="of the model that scores, else of the bundled encoder",
    )


def seed() -> Any:
    return option(0, "For everything that is drawn.", least=0)


def limit() -> Any:
    """Return the field of how many rows a first look draws; see curate.recipes.budgets."""
    return option(
        None,
        "A first look at so many rows, drawn by the seed, as NAME_sampleN.",
        metavar="N",
        least=1,
    )


def good_only() -> Any:
    return option(False, "Of rows with verdicts (kto_tag), leave out the bad ones.")


def trust_remote_code() -> Any:
    return option(
        False, "Run the Python files that come with a model on this machine. Read them first."
    )


def train_set(default_epochs: str, **how: Any) -> Any:
    help_ = f"For `train sft --set` {default_epochs}."
    return option((), help_, metavar="KEY=VALUE", check=_refuse_settings, **how)


def _refuse_settings(settings: tuple[str, ...]) -> None:
    for setting in settings:
        if "=" not in setting.strip("="):
            raise UsageError(f"--train-set {setting}: allowed is KEY=VALUE, as train sft --set")


def option_in(field: Any) -> Option | None:
    """Return how a field is offered; None for one that is not, and for what is no field."""
    option: Option | None = getattr(field, "metadata", {}).get(_KEY)
    return option


def options_of(params: type) -> dict[str, tuple[Any, Any, Option]]:
    """Return the type, the default and the option of every field that has one."""
    hints = get_type_hints(params)
    return {
        each.name: (hints[each.name], each.default, each.metadata[_KEY])
        for each in fields(params)
        if _KEY in each.metadata
    }


def filled(params: type, values: Mapping[str, Any]) -> Any:
    """Return the parameters; for what is kept as a tuple one value will do, a list, or None."""
    several = {name for name, (hint, *_) in options_of(params).items() if get_origin(hint) is tuple}
    return params(**{n: as_tuple(v) if n in several else v for n, v in values.items()})


def flag(name: str) -> str:
    """Return a field as the command line has it."""
    return f"--{name.replace('_', '-')}"


def as_tuple(values: Any) -> tuple[Any, ...]:
    if isinstance(values, str | os.PathLike):
        return (values,)
    return () if values is None else tuple(values)


def ending_of(recipe: str, params: Any) -> str:
    """Return what the name of a data set ends in, where nobody gives one: ifd_sample200."""
    limit, marks = (getattr(params, name, None) for name in ("limit", "marks"))
    return recipe + (f"_sample{limit}" if limit else "") + ("_marked" if marks else "")


def check(params: Any) -> None:
    """Refuse values that their options do not allow."""
    for each in fields(params):
        value, way = getattr(params, each.name), option_in(each)
        if way is None or value is None:
            continue
        if way.least is not None:
            refuse_below(way.least, **{each.name: value})
        if way.allowed:
            check_one_of(flag(each.name), value, way.allowed)
        if way.check is not None:
            way.check(value)


def refuse_unused(params: Any, other: str, **takers: tuple[Any, ...]) -> None:
    """Refuse options that only some values of another option take, where it has none of these."""
    for each in fields(params):
        value, words = getattr(params, each.name), takers.get(each.name, ())
        if words and value != each.default and getattr(params, other) not in words:
            only = flag(other) if words == (True,) else f"{flag(other)} {', '.join(words)}"
            values = value if isinstance(value, tuple) else (value,)
            given = " ".join(map(str, (flag(each.name), *values)))
            raise UsageError(f"{given}: only {only} takes it; give both, or leave it out")


def refuse_below(least: int, **options: int | None) -> None:
    for name, number in options.items():
        if number is not None and number < least:
            raise UsageError(f"{flag(name)} {number}: allowed are {least} and more")


def keywords(
    params: type, **readers: Callable[[Any], Any]
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Make a recipe that takes `params` a function of keywords, with their types and defaults.

    `readers` name arguments, with what makes rows of whatever the user gives for them.
    """
    kinds = {each.name: each.type for each in fields(params)}
    offered = {name: way for name, way in options_of(params).items() if way[2].python}

    def with_keywords(recipe: Callable[..., T]) -> Callable[..., T]:
        own: list[inspect.Parameter] = []
        for each in inspect.signature(recipe).parameters.values():
            if reader := readers.get(each.name):
                (taken, *_) = inspect.signature(reader).parameters.values()
                each = each.replace(annotation=taken.annotation)
            own += [each] if each.name != "params" else []
        added = [
            inspect.Parameter(
                name,
                _POSITIONAL if option.positional else _KEYWORD,
                default=inspect.Parameter.empty if option.positional else default,
                annotation=kinds[name],
            )
            for name, (_, default, option) in offered.items()
        ]
        signature = inspect.signature(recipe).replace(parameters=[*own, *added])
        allowed = [name for name in signature.parameters if name != "rows"]

        @wraps(recipe)
        def call(*arguments: Any, **values: Any) -> T:
            for name in values:
                if name not in signature.parameters:
                    raise UsageError(
                        f"{recipe.__name__} has no option {name!r}.{did_you_mean(name, allowed)} "
                        f"Allowed are {', '.join(allowed)}"
                    )
            bound = signature.bind(*arguments, **values).arguments
            chosen = filled(params, {name: bound.pop(name) for name in offered if name in bound})
            read = {name: reader(bound[name]) for name, reader in readers.items() if name in bound}
            return recipe(**{**bound, **read}, params=chosen)

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__doc__ = _documented(recipe.__doc__ or "", offered)
        call.__module__ = "curate"
        del call.__wrapped__  # its signature has no keywords
        return call

    return with_keywords


def _documented(text: str, offered: dict[str, tuple[Any, Any, Option]]) -> str:
    """Return a docstring with a line for every option in place of the line on `params`."""
    lines = []
    for line in text.splitlines():
        if not line.lstrip().startswith("params: "):
            lines.append(line)
            continue
        indent = line[: len(line) - len(line.lstrip())]
        lines += [f"{indent}{name}: {way.help}" for name, (_, _, way) in offered.items()]
    return "\n".join(lines)
