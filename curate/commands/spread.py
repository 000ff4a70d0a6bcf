"""Options that take several values each: `--input a b --against c d`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand


def spread(
    arguments: Sequence[str], options: Sequence[str], apart: tuple[str, ...] = ()
) -> list[str]:
    """Return arguments with the option before each of its values.

    An option of the command line takes one value; what follows would belong to no option, and
    with two such options nobody could tell to which.

    Example:
        >>> spread(["--input", "a", "b", "--against", "c", "--json"], ["--input", "--against"])
        ['--input', 'a', '--input', 'b', '--against', 'c', '--json']
    """
    found: list[str] = []
    current, first = "", False
    for place, each in enumerate(arguments):
        if each == "--":
            return [*found, *arguments[place:]]
        if each.startswith("-") and each != "-":
            name, given, _ = each.partition("=")
            current, first = (name if name in options else ""), not given
        elif current and not first:
            if apart and each.endswith(apart):
                current = ""
            else:
                found.append(current)
        else:
            first = False
        found.append(each)
    return found


def spreading(*options: str, apart: tuple[str, ...] = ()) -> type[TyperCommand]:
    """Return the class of a command whose options take all values up to the next option."""

    class Spreading(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            return super().parse_args(ctx, spread(args, options, apart))

        def collect_usage_pieces(self, ctx: Any) -> list[str]:
            # The argument that takes files without --input is hidden, but for this trace of it.
            return [each for each in super().collect_usage_pieces(ctx) if each != "[]..."]

    return Spreading
