"""From parameters to options, of which some take several values: `--input a b --against c d`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

from curate.parameters.option import options_of

# Options of what is read that take several values.
READING = ("--input", "--fill", "--columns", "--roles", "--dataset")
# Between the values of an option that belong together; no argument of a command can hold it.
BETWEEN = "\0"


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose parameters that are dataclasses are spread into options.

    Their fields are declared by `curate.parameters.option`, or typed by an option of typer.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: _options(hint) for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        own = _keyword(name, parameter.default, hints[name])
        parameters += groups[name].values() if name in groups else [own]

    @wraps(command)
    def call(**values: Any) -> None:
        for group, options in groups.items():
            typed = {name: values.pop(name) for name in options}
            # Many values come as a list, or as None; what is kept as a tuple becomes one.
            plain = {
                name: tuple(value or ()) if _is_tuple(hints[group], name) else value
                for name, value in typed.items()
            }
            values[group] = hints[group](**plain)
        command(**values)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    del call.__wrapped__  # its signature has no options
    return call


def is_typed(context: typer.Context, name: str) -> bool:
    """Return whether the user typed an option of the command that runs."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _options(group: Any) -> dict[str, inspect.Parameter]:
    """Return the options of a dataclass by name."""
    hints, declared = get_type_hints(group, include_extras=True), options_of(group)
    options = {}
    for field in fields(group):
        name, hint, default = field.name, hints[field.name], field.default
        if name in declared:
            option = declared[name][2]
            if not option.command:
                continue
            info = typer.Option(
                f"--{name.replace('_', '-')}",
                help=option.help,
                metavar=option.metavar,
                show_default=option.shown or True,
            )
            hint = Annotated[_on_command_line(hint), info]
            default = option.typed if option.typed is not None else default
        options[name] = _keyword(name, None if default == () else default, hint)
    return options


def _keyword(name: str, default: Any, hint: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _on_command_line(hint: Any) -> Any:
    """Return the type that is read for a field: a list for a tuple, text for text or number."""
    kinds = get_args(hint)
    if get_origin(hint) is tuple:
        return list[kinds[0]] | None  # type: ignore[valid-type]
    if str in kinds:
        return str | None if type(None) in kinds else str
    return hint


def _is_tuple(group: Any, name: str) -> bool:
    declared = options_of(group)
    return name in declared and get_origin(declared[name][0]) is tuple


def spread(
    arguments: Sequence[str],
    options: Sequence[str],
    apart: tuple[str, ...] = (),
    together: Sequence[str] = (),
) -> list[str]:
    """Return arguments with the option before each of its values.

    An option of the command line takes one value; what follows would belong to no option, and
    with two such options nobody could tell to which. Values of an option of `together` are one
    value, with BETWEEN in between: `--like a b --like c` are two sets.

    Example:
        >>> spread(["--input", "a", "b", "--against", "c", "--json"], ["--input", "--against"])
        ['--input', 'a', '--input', 'b', '--against', 'c', '--json']
    """
    spread_out: list[str] = []
    current, first = "", False
    for place, each in enumerate(arguments):
        if each == "--":
            return [*spread_out, *arguments[place:]]
        if each.startswith("-") and each != "-":
            name, equals, _ = each.partition("=")
            current, first = (name if name in (*options, *together) else ""), not equals
        elif current and not first:
            if apart and each.endswith(apart):
                current = ""
            elif current in together:
                spread_out[-1] += BETWEEN + each
                continue
            else:
                spread_out.append(current)
        else:
            first = False
        spread_out.append(each)
    return spread_out


def with_words(arguments: Sequence[str], option: str, words: Sequence[str]) -> list[str]:
    """Return arguments with an option before each of its words; bare, the first word follows it.

    What comes after it and is none of its words is not its value: `--with-control mine.json`.

    Example:
        >>> with_words(["--as", "a", "b", "f", "--as"], "--as", ["a", "b"])
        ['--as', 'a', '--as', 'b', 'f', '--as', 'a']
    """
    out: list[str] = []
    coming = list(arguments)
    while coming and coming[0] != "--":
        out.append(coming.pop(0))
        if out[-1] == option:
            out.append(coming.pop(0) if coming and coming[0] in words else words[0])
            while coming and coming[0] in words:
                out += [option, coming.pop(0)]
    return out + coming


def spreading(
    *options: str,
    apart: tuple[str, ...] = (),
    together: Sequence[str] = (),
    words: Mapping[str, Sequence[str]] | None = None,
) -> type[TyperCommand]:
    """Return the class of a command whose options take all values up to the next option.

    `words` has options that take any number of words from a set, none meaning the first.
    """

    class Spreading(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            for option, allowed in (words or {}).items():
                args = with_words(args, option, allowed)
            return super().parse_args(ctx, spread(args, options, apart, together))

        def collect_usage_pieces(self, ctx: Any) -> list[str]:
            # The argument that takes files without --input is hidden, but for this trace of it.
            return [each for each in super().collect_usage_pieces(ctx) if each != "[]..."]

    return Spreading
