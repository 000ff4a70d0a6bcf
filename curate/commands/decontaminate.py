"""`curate decontaminate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate import console
from curate.commands.dedup import others
from curate.commands.options import Reading, Writing
from curate.commands.result import choose
from curate.commands.with_options import with_options
from curate.parameters.split import DecontaminateParams

if TYPE_CHECKING:
    from curate.selection import Selection


@with_options
def decontaminate(
    reading: Reading,
    params: DecontaminateParams,
    writing: Writing,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="BENCH…", help="Sets of questions that are to be tested on."),
    ] = None,
) -> None:
    """Leave out the rows that ask what a benchmark asks; rows like each other stay.

    Tells of each benchmark how many of its questions stand in the rows; the manifest and --json
    name them and the rows.

    Example: curate decontaminate --input huatuo.json --against cmexam.csv
    """
    from curate.recipes import decontaminate as recipe

    def tell(selection: Selection) -> None:
        lines = [
            (
                each["name"],
                each["questions"],
                each["found"],
                len({r for w in each["where"] for r in w["rows"]}),
            )
            for each in selection.details["against"]
        ]
        header = ("benchmark", "questions", "found", "in rows")
        console.show_table(lines, header, console.stderr() if writing.as_json else None)

    choose(
        reading,
        writing,
        recipe.NAME,
        lambda rows, _: recipe.decontaminate(rows, params, others(against)),
        tell=tell,
        show=0,
    )
