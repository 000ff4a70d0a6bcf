"""`curate show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import AsJson, Reading
from curate.commands.with_options import with_options
from curate.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.data.rows import Rows
    from curate.emission.score_files import Joined

_DESCRIBED = ("flaw", "language", "where", "responses", "prompt_characters", "response_characters")


@with_options
def show(
    reading: Reading,
    id: Annotated[  # noqa: A002 - the option's name
        list[str] | None,
        typer.Option(metavar="ID…", help="These rows; the first digits of an id are enough."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(help=f"Rows for which this holds: {', '.join(_DESCRIBED)}, and --scores'."),
    ] = None,
    number: Annotated[int, typer.Option("-n", "--number", help="So many rows.", min=1)] = 3,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="F…", help="NAME.scores.parquet; default: the one beside a file of that name."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show whole rows, from any file or registered data set: tables print no more than ids.

    Example: curate show huatuo.json --where "response_characters < 20" -n 5
    """
    import numpy as np

    from curate.data.cards import as_json as card_as_json
    from curate.data.cards import card_lines
    from curate.emission.score_files import Joined

    reading = reading.with_names()
    rows = reading.rows()
    files = scores or [file for path in reading.paths() if (file := _scores_beside(path))]
    joined = Joined(files, rows.ids)
    mask = np.ones(len(rows), dtype=bool)
    if where is not None:
        mask &= _holds(where, rows, joined)
    if id:
        mask &= _named(id, rows)
    places = np.flatnonzero(mask)
    shown = places if id else places[:number]
    cards = list(zip((rows[int(place)] for place in shown), joined.lines(shown), strict=True))
    for row, values in cards if not as_json else ():
        print_card(card_lines(row, rows.shape, values))
    if len(shown) < len(places):
        console.say(f"{len(shown):,} of {len(places):,} rows; -n {len(places)} shows all of them")
    elif not len(places):
        console.say("no row is like that")
    if as_json:
        found = [card_as_json(row, values) for row, values in cards]
        typer.echo(json.dumps({"rows": found, "matching": len(places)}, ensure_ascii=False))


def print_card(lines: list[str]) -> None:
    """Print a card: its first line stands out, nothing in its texts is markup."""
    first, *others = lines
    console.stdout().print(first, style="bold", markup=False, emoji=False, soft_wrap=True)
    for line in (*others, ""):
        console.stdout().print(line, markup=False, emoji=False, soft_wrap=True)


def _scores_beside(path: Path) -> Path | None:
    from curate.emission.score_files import ENDING

    file = path.with_name(path.stem + ENDING)
    return file if file.is_file() else None


def _holds(where: str, rows: Rows, joined: Joined) -> NDArray[np.bool_]:
    """Return for which rows an expression over descriptions and scores holds, (n,)."""
    from curate.data.expression import SHORT, parse_expression, unknown_column

    expression = parse_expression(where, "--where")
    names = [*_DESCRIBED, *joined.names()]
    columns: dict[str, NDArray[Any]] = {}
    for name in expression.columns():
        if name in _DESCRIBED:
            columns[name] = rows.table.column(name).to_numpy()
        elif joined.files and ("." in name or SHORT.get(name, name) in names):
            columns[name] = joined.column(name, "--where")
        else:
            raise unknown_column(name, names, "--where", "the rows and their scores")
    return expression.truths(columns, len(rows))


def _named(ids: list[str], rows: Rows) -> NDArray[np.bool_]:
    """Return which rows have one of the ids, (n,); the start of an id names all that begin so."""
    import numpy as np

    mask = np.zeros(len(rows), dtype=bool)
    for wanted in ids:
        exact = rows.ids == wanted
        begins = exact if exact.any() else np.array([each.startswith(wanted) for each in rows.ids])
        if not wanted or not begins.any():
            raise UsageError(
                f"--id {wanted}: no row has it; ids are 16 of 0-9 and a-f, as tables and scores "
                "files have them, and those of the rows of another file are not here"
            )
        mask |= begins
    return mask
