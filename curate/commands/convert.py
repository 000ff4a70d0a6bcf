"""`curate convert`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from curate import console
from curate.commands.options import AsJson, Name, Output, Overwrite, Reading
from curate.commands.with_options import with_options


@with_options
def convert(
    reading: Reading,
    to: Annotated[str, typer.Option(metavar="alpaca|sharegpt|messages", help="The layout.")],
    container: Annotated[
        str, typer.Option("--as", metavar="jsonl|json|parquet", help="The kind of file.")
    ] = "jsonl",
    output: Output = Path("data"),
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write rows in another layout or another kind of file, and register them.

    Rows that say what the layout has no place for, and rows with flaws, are left out and counted.

    Example: curate convert huatuo.json --to alpaca --as parquet
    """
    from curate.data.describe import not_used
    from curate.emission.emit import check_target
    from curate.recipes import convert as recipe

    params = recipe.ConvertParams(to, container)
    rows = reading.rows(output)
    conversion = recipe.convert(rows, params)
    called = name or conversion.name
    check_target(output, called, recipe.NAME, overwrite)
    counts = conversion.counts()
    files = [output / file for file in conversion.emit_to(output, called)]
    console.counts_table(counts, console.stderr() if as_json else None)
    console.say(f"'{called}' is registered for LLaMA-Factory in {output}: {files[0].name}")
    if as_json:
        result = {"name": called, **counts, "files": [str(file) for file in files]}
        result["not_used"] = not_used(rows.sources)
        typer.echo(json.dumps(result, ensure_ascii=False))
