"""`curate datasets`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import AsJson, plain

if TYPE_CHECKING:
    from curate.data.public_sets import PublicSet

_HEADER = ("name", "rows", "size", "licence", "languages", "becomes")


def datasets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this one whole.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List public data sets: where they are, what they become, how to read them.

    Example: curate datasets huatuogpt
    """
    from curate.data.public_sets import public_set, public_sets

    goes_to = console.stderr() if as_json else console.stdout()
    if name:
        one = public_set(name)
        console.show_table(_whole(one), on=goes_to)
        # Not in the table: a command is there to be copied, in one line.
        goes_to.print(one.command, markup=False, soft_wrap=True)
        found: dict[str, Any] = _as_json(one)
    else:
        known = list(public_sets().values())
        console.show_table([_line(each) for each in known], _HEADER, goes_to)
        for each in known:
            goes_to.print(f"{each.name}: {each.where}", markup=False, soft_wrap=True)
        console.say("`curate datasets NAME` shows what to watch for and the command that reads it")
        found = {"datasets": [_as_json(each) for each in known]}
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))


def _line(one: PublicSet) -> tuple[object, ...]:
    rows = "unknown" if one.rows is None else f"{one.rows:,}"
    licence = one.licence.partition(" (")[0]
    return one.name, rows, one.size, licence, ", ".join(one.languages), one.becomes


def _whole(one: PublicSet) -> list[tuple[str, str]]:
    return [
        ("name", one.name),
        ("about", one.about),
        ("address", f"https://{one.address}"),
        ("rows", "unknown" if one.rows is None else f"{one.rows:,}"),
        ("size", one.size),
        ("licence", one.licence),
        ("languages", ", ".join(one.languages)),
        ("becomes", one.becomes),
        ("read as", one.format),
        *((("fetch", one.fetch),) if one.fetch else ()),
        *(("" if at else "watch for", each) for at, each in enumerate(one.hazards)),
    ]


def _as_json(one: PublicSet) -> dict[str, Any]:
    return {**plain(one), "command": one.command}
