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
        known = public_set(name)
        console.show_table(_whole(known), on=goes_to)
        # Not in the table: a command is there to be copied, in one line.
        goes_to.print(known.command, markup=False, soft_wrap=True)
        answer: dict[str, Any] = _as_json(known)
    else:
        every = list(public_sets().values())
        console.show_table([_line(known) for known in every], _HEADER, goes_to)
        for known in every:
            goes_to.print(f"{known.name}: {known.where}", markup=False, soft_wrap=True)
        console.say("`curate datasets NAME` shows what to watch for and the command that reads it")
        answer = {"datasets": [_as_json(known) for known in every]}
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))


def _line(known: PublicSet) -> tuple[object, ...]:
    licence, languages = known.licence.partition(" (")[0], ", ".join(known.languages)
    return known.name, _rows(known), known.size, licence, languages, known.becomes


def _rows(known: PublicSet) -> str:
    return "unknown" if known.rows is None else f"{known.rows:,}"


def _whole(known: PublicSet) -> list[tuple[str, str]]:
    return [
        ("name", known.name),
        ("about", known.about),
        ("address", f"https://{known.address}"),
        ("rows", _rows(known)),
        ("size", known.size),
        ("licence", known.licence),
        ("languages", ", ".join(known.languages)),
        ("becomes", known.becomes),
        ("read as", known.format),
        *((("fetch", known.fetch),) if known.fetch else ()),
        *(("" if at else "watch for", hazard) for at, hazard in enumerate(known.hazards)),
    ]


def _as_json(known: PublicSet) -> dict[str, Any]:
    return {**plain(known), "command": known.command}
