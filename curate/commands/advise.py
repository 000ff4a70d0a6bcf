"""`curate advise`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from curate import console
from curate.commands.options import AsJson, Reading
from curate.commands.with_options import BETWEEN, with_options


@with_options
def advise(
    reading: Reading,
    like: Annotated[
        list[str] | None,
        typer.Option(
            metavar="F…", help="Questions as the model will get them; once more is another set."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which commands fit these rows, ready to paste, and what the evidence for each is.

    Looks at rows, tokens, languages, duplicates and lengths; no model is asked, and nothing is
    written. What is printed is a shell script: the commands, and why, as its comments.

    Example: curate advise --input huatuo.json --like questions.txt
    """
    from curate.data.describe import not_used
    from curate.recipes import advise as recipe

    reading = reading.with_names()
    rows = reading.rows()
    sets = [names.split(BETWEEN) for names in like or ()]
    advice = recipe.advise(rows, sets, _typed(reading), reading.folder())
    console.show_table(advice.lines(), on=console.stderr())
    on = console.stderr() if as_json else console.stdout()
    on.print(advice.script(), markup=False, emoji=False, soft_wrap=True)
    for note in advice.notes:
        console.say(f"note: {note}")
    if as_json:
        answer = {**asdict(advice), "not_used": not_used(rows.sources)}
        typer.echo(json.dumps(answer, ensure_ascii=False))


def _typed(reading: Reading) -> list[str]:
    """Return the options that read the same rows again."""
    words: list[str] = []
    for option, values in {
        "--dataset": reading.dataset,
        "--dataset-dir": [reading.dataset_dir] if reading.dataset_dir else None,
        "--input": [*(reading.input or ()), *(reading.more or ())],
        "--format": [reading.format] if reading.format else None,
        "--fill": reading.fill,
        "--columns": reading.columns,
        "--roles": reading.roles,
    }.items():
        words += [option, *map(str, values)] if values else []
    return words
