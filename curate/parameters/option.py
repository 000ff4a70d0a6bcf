"""A parameter with its help, declared once for the command, the Python function, the manifest."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, TypeVar, get_type_hints

from curate.errors import UsageError, did_you_mean
from curate.parameters.budget import DEFAULT_KEEP, METAVAR

T = TypeVar("T")
_KEY = "option"
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD


@dataclass(frozen=True)
class Option:
    """How a field of a parameters class is offered.

    Attributes:
        help: One sentence.
        metavar: What stands for the value.
        shown: The default in words, where the value does not say it.
        command: Whether the command line has it.
        python: Whether the Python function has it.
        positional: Whether the Python function takes it without its name, and has to have it.
        typed: The command line's default, where it is another.
    """

    help: str
    metavar: str | None = None
    shown: str = ""
    command: bool = True
    python: bool = True
    positional: bool = False
    typed: Any = None


def option(default: Any, help_: str, **how: Any) -> Any:
    """Return a dataclass field with its help; see Option for the rest.

    Example:
        >>> @dataclass(frozen=True)
        ... class TopParams:
        ...     k: int = option(10, "Rows to keep.", metavar="N")
    """
    return field(default=default, metadata={_KEY: Option(help_, **how)})


def filled_in(default: Any = ()) -> Any:
    """Return a field that nobody can set: a recipe notes in it what it has read."""
    return option(default, "", command=False, python=False)


def keep() -> Any:
    """Return the field of the budget, in rows or tokens."""
    help_ = "Share of all rows or number; 10%-tokens, 2M-tokens: of the responses' tokens."
    return option(None, help_, shown=DEFAULT_KEEP, metavar=METAVAR)


def tokenizer() -> Any:
    """Return the field of what counts tokens."""
    return option(
        None,
        "Whose tokens count: a model, or a folder with its tokenizer.",
        metavar="M",
        shown="of the model that scores, else of the bundled encoder",
    )


def seed() -> Any:
    """Return the field of the seed."""
    return option(0, "For everything that is drawn.")


def good_only() -> Any:
    """Return the field that leaves out rows with a bad verdict."""
    return option(False, "Of rows with verdicts (kto_tag), leave out the bad ones.")


def trust_remote_code() -> Any:
    """Return the field that lets code of a model run."""
    return option(
        False,
        "Run the Python files that come with a model on this machine. Read them first.",
    )


def train_set(default_epochs: str) -> Any:
    """Return the field of settings for a training in between."""
    return option((), f"For `train sft --set` {default_epochs}.", metavar="KEY=VALUE")


def options_of(params: type) -> dict[str, tuple[Any, Any, Option]]:
    """Return the type, the default and the option of every field that has one."""
    hints = get_type_hints(params)
    return {
        each.name: (hints[each.name], each.default, each.metadata[_KEY])
        for each in fields(params)
        if _KEY in each.metadata
    }


def refuse_below(least: int, **options: int | None) -> None:
    """Refuse numbers below the least one; None is no number."""
    for name, number in options.items():
        if number is not None and number < least:
            name = name.replace("_", "-")
            raise UsageError(f"--{name} {number}: allowed are {least} and more")


def keywords(
    params: type, **readers: Callable[[Any], Any]
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Make a recipe that takes `params` a function of keywords, with their types and defaults.

    Args:
        params: Class of the recipe's `params`, whose fields become keywords.
        readers: Argument to what makes rows of it, whatever the user gives for them.

    Example:
        >>> @keywords(CarParams)
        ... def car(rows: Rows, params: CarParams) -> Selection: ...
        >>> inspect.signature(car)
        <Signature (rows: Rows, *, ranker: str = 'pairs', …) -> Selection>
    """
    offered = {name: way for name, way in options_of(params).items() if way[2].python}

    def with_keywords(recipe: Callable[..., T]) -> Callable[..., T]:
        own = [each for each in inspect.signature(recipe).parameters.values()]
        own = [
            each.replace(annotation="Readable") if each.name in readers else each
            for each in own
            if each.name != "params"
        ]
        added = [
            inspect.Parameter(
                name,
                _POSITIONAL if option.positional else _KEYWORD,
                default=inspect.Parameter.empty if option.positional else default,
                annotation=params.__annotations__[name],
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
            chosen = params(**{name: bound.pop(name) for name in offered if name in bound})
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
