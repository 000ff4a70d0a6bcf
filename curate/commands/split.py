"""`curate split`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from curate import console
from curate.commands.options import AsJson, Name, Output, Overwrite, Reading
from curate.commands.with_options import with_options
from curate.parameters.split import SplitParams


@with_options
def split(
    reading: Reading,
    params: SplitParams,
    output: Output = Path("data"),
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Set rows aside to test on: NAME_test, and NAME_train without a twin of theirs.

    Rows that are equal or nearly so, and rows that ask the same, stay on one side.

    Example: curate split huatuo.json --test 10%
    """
    from curate.data.describe import not_used
    from curate.emission.emit import check_target, default_name
    from curate.recipes import split as recipe
    from curate.selection import emit

    called = name or default_name(reading.called(output), "").rstrip("_")
    for side in recipe.SIDES:
        check_target(output, f"{called}_{side}", recipe.NAME, overwrite)
    halves = recipe.split(reading.rows(output), params)
    result: dict[str, Any] = {"name": called, "with_twins": halves.twins}
    for side, selection in (("train", halves.train), ("test", halves.test)):
        files = emit(selection, output, f"{called}_{side}", overwrite)
        kept = selection.summary().kept
        result[side] = {
            "name": f"{called}_{side}",
            "kept": kept,
            "files": [str(file) for file in files],
        }
        console.say(f"'{called}_{side}' is registered in {output}: {kept:,} rows, {files[0].name}")
    console.say(f"{halves.twins:,} rows have twins, which are on the same side")
    flaws = {k: n for k, n in halves.test.summary().dropped.items() if k != "in_train"}
    result |= {"read": len(halves.test.rows), "dropped": flaws}
    result["not_used"] = not_used(halves.test.rows.sources)
    if flaws:
        text = ", ".join(f"{count:,} {flaw}" for flaw, count in flaws.items())
        console.say(f"on neither side: {text}")
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
