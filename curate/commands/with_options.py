"""From parameters to options, of which some take several values: `--input a b --against c d`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from curate import console
from curate.errors import UsageError
from curate.models.packaged_models import BUNDLED
from curate.models.quiet import set_verbose
from curate.parameters.option import BETWEEN, Option, filled, flag, option_in
from curate.system.files import at_home

# Options that name models, bundled ones even where a folder is called so.
_MODELS = ("model", "models", "base", "tuned", "encoder", "reward", "ranker", "judge", "tokenizer")


def with_options(command: Callable[..., None], without: Sequence[str] = ()) -> Callable[..., None]:
    """Return a command whose parameters that are dataclasses are spread into options.

    Fields and parameters are declared by `curate.parameters.option`, or typed by typer's; those
    named in `without` are no options and stay as they are. With --json, `as_json`, tables go to
    stderr, and `console.answer()` ends stdout; `verbose` lets libraries speak.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: _options(h, without) for name, h in hints.items() if is_dataclass(h)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        own = _parameter(name, hints[name], parameter.default)
        parameters += groups[name].values() if name in groups else [own]

    @wraps(command)
    def call(**values: Any) -> None:
        as_json = bool(values.get("as_json"))
        _say_what_is_bundled(values)
        if "verbose" in values:
            set_verbose(values["verbose"])
        for group, options in groups.items():
            typed = {name: _at_home(values.pop(name)) for name in options}
            values[group] = filled(hints[group], typed)
        with console.answering(as_json):
            command(**{name: _at_home(value) for name, value in values.items()})

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    del call.__wrapped__  # its signature has no options
    return call


def _say_what_is_bundled(values: Mapping[str, Any]) -> None:
    given = (values.get(name) for name in _MODELS)
    names = {name for each in given for name in (each if isinstance(each, list) else [each])}
    for name in sorted(BUNDLED & names):
        if Path(name).is_dir():
            console.say(f"note: {name} is what comes with curate; the folder is ./{name}")


def _at_home(value: Any) -> Any:
    if isinstance(value, list):
        return [_at_home(each) for each in value]
    return at_home(value) if isinstance(value, Path) else value


def is_typed(context: typer.Context, name: str) -> bool:
    """Return whether the user typed an option of the command that runs."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _options(group: Any, without: Sequence[str]) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    options: dict[str, inspect.Parameter] = {}
    # A verb's own options come before those of all verbs.
    for field in sorted(fields(group), key=lambda each: each.name not in group.__annotations__):
        way = option_in(field)
        if field.name not in without and (way is None or way.command):
            default = field.default if way is None else field
            options[field.name] = _parameter(field.name, hints[field.name], default)
    return options


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    """Return the parameter of an option; its default may be a field with all that is declared."""
    if (way := option_in(default)) is not None:
        info = typer.Option(
            flag(name),
            help=way.help,
            metavar=way.metavar,
            show_default=way.shown or True,
        )
        hint = _on_command_line(hint)
        several = way.several and "list[" in str(hint)  # not of lists in one word: 1:5,1:10…
        hint = Annotated[hint, info, replace(way, several=several)]
        default = way.typed if way.typed is not None else default.default
        default = None if default == () else default
    default = inspect.Parameter.empty if default is MISSING else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _on_command_line(hint: Any) -> Any:
    """Return the type that is read for a field: a list for a tuple, text for text or number."""
    kinds = get_args(hint)
    if get_origin(hint) is tuple:
        return list[_on_command_line(kinds[0])] | None  # type: ignore[misc]
    if str in kinds:
        return str | None if type(None) in kinds else str
    return hint


class Commands(TyperGroup):
    """The commands of a program, none of which takes an empty value.

    `--input "$FILE"` is one where the variable is not set; read as a path it is this folder.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse empty values before anything is read."""
        own = args[: args.index("--")] if "--" in args else args
        for before, word in zip(["", *own], own, strict=False):
            option, equals, value = word.partition("=")
            if not word or option.startswith("--") and equals and not value:
                raise UsageError(
                    f"the value behind {option or before} is empty, as that of a shell variable "
                    "which is not set; give one, or leave the option out"
                )
        return super().parse_args(ctx, args)


def program(help_: str) -> typer.Typer:
    """Return a program, which shows its version or its help where no command of it is named."""
    context_settings = {"help_option_names": ["-h", "--help"]}
    app = typer.Typer(
        cls=Commands, pretty_exceptions_enable=False, context_settings=context_settings, help=help_
    )

    @app.callback(invoke_without_command=True)
    def start(
        context: typer.Context,
        version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    ) -> None:
        if version:
            import importlib.metadata

            typer.echo(f"curatrain {importlib.metadata.version('curatrain')}")
            raise typer.Exit
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return app


def spread(arguments: Sequence[str], options: Mapping[str, Option]) -> list[str]:
    """Return arguments with the option before each of its values.

    An option of the command line takes one value; what follows would belong to no option, and
    with two such options nobody could tell to which.
    """
    spread_out: list[str] = []
    current, way = "", Option("")
    first = False  # whether the next argument is the option's own value
    for place, each in enumerate(arguments):
        if each == "--":
            return [*spread_out, *arguments[place:]]
        if each.startswith("-") and each != "-":
            name, equals, _ = each.partition("=")
            way, first = options.get(name, Option("")), not equals
            current = name if name in options and not way.words else ""
            if way.words and not equals:
                spread_out.append(each)
                if arguments[place + 1 : place + 2] and arguments[place + 1] in way.words:
                    current = each
                    continue
                each = way.words[0]
        elif current and not first:
            if each.endswith(way.apart) or way.words and each not in way.words:
                current = ""
            elif way.together:
                spread_out[-1] += BETWEEN + each
                continue
            else:
                spread_out.append(current)
        else:
            first = False
        spread_out.append(each)
    return spread_out


def add(app: typer.Typer, name: str, command: Callable[..., None]) -> None:
    """Add a command, whose options take several values where they are declared so."""
    options = {
        flag(option): way
        for option, each in inspect.signature(command).parameters.items()
        for way in getattr(each.annotation, "__metadata__", ())
        if isinstance(way, Option) and way.several
    }

    class Spreading(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            return super().parse_args(ctx, spread(args, options))

        def collect_usage_pieces(self, ctx: Any) -> list[str]:
            # The argument that takes files without --input is hidden, but for this trace of it.
            return [each for each in super().collect_usage_pieces(ctx) if each != "[]..."]

    app.command(name, cls=Spreading)(command)
