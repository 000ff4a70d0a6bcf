"""Options that take several values each: `--input a b --against c d`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand


def spread(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return arguments with the option before each of its values.

    An option of the command line takes one value; what follows would belong to no option, and
    with two such options nobody could tell to which.

    Args:
        arguments: As the shell gives them.
        options: Those that take several.

    Example:
        >>> spread(["--input", "a", "b", "--against", "c", "--json"], ["--input", "--against"])
        ['--input', 'a', '--input', 'b', '--against', 'c', '--json']
    """
    found: list[str] = []
    current, before = "", ""
    for each in arguments:
        if each.startswith("-") and each != "-":
            name = each.partition("=")[0]
            current = name if name in options else ""
        elif current and before != current:
            found.append(current)
        found.append(each)
        before = each
    return found


class SpreadingCommand(TyperCommand):
    """A command whose --input and --against take all values up to the next option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        return super().parse_args(ctx, spread(args, ("--input", "--against")))
