"""Commands on whole sets: `dedup`, `decontaminate`, `split`, `convert`, `mix`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import DatasetDir, DataTarget, Emitting, Reading, Sides
from curate.commands.result import choose, say_notes
from curate.commands.with_options import is_typed, with_options
from curate.errors import UsageError
from curate.parameters.dedup import DedupParams
from curate.parameters.mix import MixParams
from curate.parameters.option import option
from curate.parameters.split import DecontaminateParams, SplitParams

if TYPE_CHECKING:
    from curate.choices.selection import Selection
    from curate.mixture.draw import Pool
    from curate.mixture.mixed import Mixed


@with_options
def dedup(
    reading: Reading,
    params: DedupParams,
    writing: Emitting,
    sides: Sides,
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
        lambda rows, _: recipe.dedup(rows, params, sides.rows(folder)),
        tell=tell,
        show=0,
    )


@with_options
def decontaminate(
    reading: Reading, params: DecontaminateParams, writing: Emitting, sides: Sides
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
def split(reading: Reading, params: SplitParams, target: DataTarget) -> None:
    """Set rows aside to test on: NAME_test, and NAME_train without a twin of theirs.

    Rows that are equal or nearly so, and rows that ask the same, stay on one side.

    Example: curate split huatuo.json --test 10%
    """
    from curate.data.describe import counted, not_used
    from curate.recipes import split as recipe

    output = target.output
    called = target.name or target.called(reading, "").rstrip("_")
    for side in recipe.SIDES:
        target.check(f"{called}_{side}", recipe.NAME)
    halves = recipe.split(reading.rows(output), params)
    result: dict[str, Any] = {"name": called, "with_twins": halves.twins}
    for side, selection in (("train", halves.train), ("test", halves.test)):
        files = target.emit(selection, f"{called}_{side}")
        kept = selection.summary().kept
        result[side] = {"name": f"{called}_{side}", "kept": kept, "files": files}
        console.say(
            f"'{called}_{side}' is registered in {output}: {counted(kept)}, {files[0].name}"
        )
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
    *,
    target: DataTarget,
) -> None:
    """Write rows in another layout or another kind of file, and register them.

    Rows that say what the layout has no place for, and rows with flaws, are left out and counted.

    Example: curate convert huatuo.json --to alpaca --as parquet
    """
    from curate.data.describe import not_used
    from curate.recipes import convert as recipe

    params, output = recipe.ConvertParams(to, container, target.shard_rows), target.output
    rows = reading.rows(output)
    called, counts, files = recipe.convert(rows, params, output, target.name, target.overwrite)
    console.show_table(console.count_lines(counts))
    console.say(f"'{called}' is registered for LLaMA-Factory in {output}: {files[0].name}")
    not_taken = not_used(rows.sources)
    console.answer({"name": called, **counts, "files": files, "not_used": not_taken})


# What ends so behind an option of sources is the mixture file itself.
_SIDE: dict[str, Any] = {"metavar": "F…", "apart": (".yaml", ".yml")}


@with_options
def mix(
    *,
    context: typer.Context,
    mixture: Annotated[
        str | None,
        typer.Argument(
            metavar="MIXTURE.yaml",
            help="A mixture file, or the name of one that comes with curate.",
            show_default="default, unless --domain and --general are given",
        ),
    ] = None,
    domain: list[Path] | None = option(None, "Domain data: files, or registered names.", **_SIDE),
    general: list[Path] | None = option(
        None, "General data: files, registered names or a mixture file.", **_SIDE
    ),
    ratio: str = option("1:5", "Domain : general; several for a sweep.", metavar="1:5[,1:10…]"),
    params: MixParams,
    dataset_dir: DatasetDir = None,
    target: DataTarget,
) -> None:
    """Mix domain and general data at an exact ratio: all domain rows once, k times general rows.

    Rows with a flaw never enter, and of equal rows one does. Which rows are drawn depends on what
    they say and on --seed, not on the order of files; the seed also shuffles the output. By
    tokens, rows are drawn until they come nearest to the ratio.

    Example: curate mix --domain huatuo.json --general alpaca_zh.json --ratio 1:5
    """
    from curate.mixture.plan import parse_ratios
    from curate.mixture.spec import DEFAULT, find_mixture, read_mixture, sources_of
    from curate.recipes import mix as recipe

    given = {"domain": domain, "general": general}
    sides = {
        side: tuple(s for path in paths for s in sources_of(path, dataset_dir or target.output))
        for side, paths in given.items()
        if paths
    }
    if mixture is not None or not sides:
        changes = {name: v for name, v in asdict(params).items() if is_typed(context, name)}
        changes.pop("name", None)  # of the data set that is written
        if is_typed(context, "ratio"):
            changes["ratios"] = parse_ratios(ratio)
        # The file's name is that of its own sources.
        changes |= {"name": "", **sides} if sides else {}
        wanted = read_mixture(find_mixture(mixture or DEFAULT), changes)
    else:
        wanted = recipe.mixture_of(sides.get("domain", ()), sides.get("general", ()), ratio, params)
    if is_typed(context, "model") and wanted.by == "rows":
        raise UsageError("--model says whose tokens are counted; give --by tokens, too")
    base = target.name or wanted.output_name
    several = len(wanted.ratios) > 1
    names = [f"{base}_{each.as_name}" if several else base for each in wanted.ratios]
    for dataset in names:
        target.check(dataset, recipe.NAME)
    mixtures = recipe.mix(wanted, _tell)
    say_notes(mixtures[0].notes)
    results = [_emit(*pair, target) for pair in zip(mixtures, names, strict=True)]
    console.answer({"mixtures": results} if several else results[0])


def _tell(pool: Pool) -> None:
    """Say how the files were read and what never enters."""
    from curate.data.describe import counted, how_read, notes_on

    for part in pool.parts:
        source = part.source
        console.say(f"read {source.name} as {how_read(source)}: {counted(source.rows)}")
        notes = [*notes_on(replace(source, unfilled={}))]
        if source.unfilled:
            keys = ", ".join(f"{key}: …" for key in source.unfilled)
            notes.append(
                f"{source.name} has placeholders; to fill them in, write a mixture file "
                f"with fill: {{{keys}}} for it, or fill=… in Python"
            )
        say_notes(notes)
    say_notes(pool.left_out_lines())


def _emit(mixed: Mixed, name: str, target: DataTarget) -> dict[str, Any]:
    from curate.data.describe import not_used

    files = target.emit(mixed, name)
    console.show_table(*mixed.table())
    asked = f"asked {mixed.ratio}, got {mixed.realised()}"
    console.stdout().print(asked, markup=False, soft_wrap=True)
    console.say(f"'{name}' is registered for LLaMA-Factory in {target.output}: {files[0].name}")
    console.say(f"which rows, and why not: {files[1]}; counts and parameters: {files[-1]}")
    counts = mixed.summary()
    return {
        "name": name,
        "read": counts.read,
        "scored": 0,
        "kept": counts.kept,
        "dropped": counts.dropped,
        "tokens": counts.tokens,
        "written": counts.written,
        "ratio": str(mixed.ratio),
        "realised": mixed.realised(),
        "sources": [{"name": each.name, **each.as_dict()} for each in mixed.sources],
        "files": files,
        "not_used": not_used(part.source for part in mixed.pool.parts),
    }
