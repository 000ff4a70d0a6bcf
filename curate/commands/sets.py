"""Commands on whole sets: `dedup`, `decontaminate`, `split`, `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import DATA, AsJson, Name, Output, Overwrite, Reading, Sides, Writing
from curate.commands.result import choose
from curate.commands.with_options import with_options
from curate.parameters.dedup import DedupParams
from curate.parameters.option import option
from curate.parameters.split import DecontaminateParams, SplitParams

if TYPE_CHECKING:
    from curate.choices.selection import Selection


@with_options
def dedup(
    reading: Reading,
    params: DedupParams,
    writing: Writing,
    sides: Sides,
    scores: Path | None = option(None, "NAME.scores.parquet of an earlier run, for --by COLUMN."),
) -> None:
    """Keep one of the rows that say the same, and none that another set says already.

    Exact and near duplicates, by the n-grams of their characters: it works for Chinese as it does
    for English. What is dropped names its twin, the kept row that it is like.

    Example: curate dedup --input huatuo.json --against eval.json
    """
    from curate.recipes import dedup as recipe

    folder = reading.folder(writing.output)

    def tell(selection: Selection) -> None:
        """Print the dropped rows that were the least like their twins: where the cut is."""
        # Where none is kept, writing ends in an error.
        if selection.choice.kept.any() and (lines := recipe.closest(selection, writing.show)):
            console.show_table(lines, ("reason", "similarity", "dropped", "twin"))

    choose(
        reading,
        writing,
        recipe.NAME,
        lambda rows, _: recipe.dedup(rows, params, sides.rows(folder), scores),
        tell=tell,
        show=0,
    )


@with_options
def decontaminate(
    reading: Reading, params: DecontaminateParams, writing: Writing, sides: Sides
) -> None:
    """Leave out the rows that ask what a benchmark asks; rows like each other stay.

    Tells of each benchmark how many of its questions stand in the rows; the manifest and --json
    name them and the rows.

    Example: curate decontaminate --input huatuo.json --against cmexam.csv
    """
    from curate.recipes import decontaminate as recipe

    folder = reading.folder(writing.output)

    def tell(selection: Selection) -> None:
        lines = []
        for each in selection.details["against"]:
            rows = {row for where in each["where"] for row in where["rows"]}
            lines.append((each["name"], each["questions"], each["found"], len(rows)))
        console.show_table(lines, ("benchmark", "questions", "found", "in rows"))

    choose(
        reading,
        writing,
        recipe.NAME,
        lambda rows, _: recipe.decontaminate(rows, params, sides.rows(folder)),
        tell=tell,
        show=0,
    )


@with_options
def split(
    reading: Reading,
    params: SplitParams,
    output: Output = DATA,
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Set rows aside to test on: NAME_test, and NAME_train without a twin of theirs.

    Rows that are equal or nearly so, and rows that ask the same, stay on one side.

    Example: curate split huatuo.json --test 10%
    """
    from curate.choices.emitting import emit
    from curate.data.describe import not_used
    from curate.emission.emit import check_target, default_name
    from curate.recipes import split as recipe

    called = name or default_name(reading.called(output), "").rstrip("_")
    for side in recipe.SIDES:
        check_target(output, f"{called}_{side}", recipe.NAME, overwrite)
    halves = recipe.split(reading.rows(output), params)
    result: dict[str, Any] = {"name": called, "with_twins": halves.twins}
    for side, selection in (("train", halves.train), ("test", halves.test)):
        files = emit(selection, output, f"{called}_{side}", overwrite)
        kept = selection.summary().kept
        result[side] = {"name": f"{called}_{side}", "kept": kept, "files": files}
        console.say(f"'{called}_{side}' is registered in {output}: {kept:,} rows, {files[0].name}")
    console.say(f"{halves.twins:,} rows have twins, which are on the same side")
    flaws = {k: n for k, n in halves.test.summary().dropped.items() if k != "in_train"}
    result |= {"read": len(halves.test.rows), "dropped": flaws}
    result["not_used"] = not_used(halves.test.rows.sources)
    if flaws:
        text = ", ".join(f"{count:,} {flaw}" for flaw, count in flaws.items())
        console.say(f"on neither side: {text}")
    console.answer(result)


@with_options
def convert(
    reading: Reading,
    to: Annotated[str, typer.Option(metavar="alpaca|sharegpt|messages", help="The layout.")],
    container: Annotated[
        str, typer.Option("--as", metavar="jsonl|json|parquet", help="The kind of file.")
    ] = "jsonl",
    shard_rows: Annotated[
        int,
        typer.Option(min=0, help="Write a folder, so many rows in each of its files; 0: one file."),
    ] = 0,
    output: Output = DATA,
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write rows in another layout or another kind of file, and register them.

    Rows that say what the layout has no place for, and rows with flaws, are left out and counted.

    Example: curate convert huatuo.json --to alpaca --as parquet
    """
    from curate.data.describe import not_used
    from curate.recipes import convert as recipe

    params = recipe.ConvertParams(to, container, shard_rows)
    rows = reading.rows(output)
    called, counts, files = recipe.convert(rows, params, output, name, overwrite)
    console.show_table(console.count_lines(counts))
    console.say(f"'{called}' is registered for LLaMA-Factory in {output}: {files[0].name}")
    not_taken = not_used(rows.sources)
    console.answer({"name": called, **counts, "files": files, "not_used": not_taken})
