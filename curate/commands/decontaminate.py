"""`curate decontaminate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate import console
from curate.commands.options import Reading, Sides, Writing
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
    sides: Sides,
) -> None:
    """Leave out the rows that ask what a benchmark asks; rows like each other stay.

    Tells of each benchmark how many of its questions stand in the rows; the manifest and --json
    name them and the rows.

    Example: curate decontaminate --input huatuo.json --against cmexam.csv
    """
    from curate.recipes import decontaminate as recipe

    folder = reading.folder(writing.output)

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
        lambda rows, _: recipe.decontaminate(rows, params, sides.rows(folder)),
        tell=tell,
        show=0,
    )
