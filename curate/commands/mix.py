"""`curate mix`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import DATA, AsJson, DatasetDir, Name, Output, Overwrite
from curate.commands.with_options import is_typed, spreading, with_options
from curate.parameters.mix import MixParams

if TYPE_CHECKING:
    from curate.mixture.draw import Pool
    from curate.mixture.mixed import Mixed
    from curate.mixture.spec import MixSource, Mixture

Command = spreading("--domain", "--general", apart=(".yaml", ".yml"))


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
    domain: Annotated[
        list[Path] | None,
        typer.Option("--domain", metavar="F…", help="Domain data: files, or registered names."),
    ] = None,
    general: Annotated[
        list[Path] | None,
        typer.Option(
            "--general",
            metavar="F…",
            help="General data: files, registered names or a mixture file.",
        ),
    ] = None,
    ratio: Annotated[
        str,
        typer.Option(help="Domain : general; several for a sweep.", metavar="1:5[,1:10…]"),
    ] = "1:5",
    params: MixParams,
    dataset_dir: DatasetDir = None,
    output: Output = DATA,
    name: Name = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Mix domain and general data at an exact ratio: all domain rows once, k times general rows.

    Rows with a flaw never enter, and of equal rows one does. Which rows are drawn depends on what
    they say and on --seed, not on the order of files; the seed also shuffles the output. By
    tokens, rows are drawn until they come nearest to the ratio.

    Example: curate mix --domain huatuo.json --general alpaca_zh.json --ratio 1:5
    """
    from curate.emission.emit import check_target
    from curate.errors import UsageError
    from curate.mixture.plan import parse_ratios
    from curate.mixture.spec import sources_of
    from curate.recipes import mix as recipe

    given = {"domain": domain, "general": general}
    sides = {
        side: tuple(s for path in paths for s in sources_of(path, dataset_dir or output))
        for side, paths in given.items()
        if paths
    }
    if mixture is not None or not sides:
        changes = {name: v for name, v in asdict(params).items() if is_typed(context, name)}
        changes.pop("name", None)  # of the data set that is written
        if is_typed(context, "ratio"):
            changes["ratios"] = parse_ratios(ratio)
        wanted = _of_file(mixture, sides, changes)
    else:
        wanted = recipe.mixture_of(sides.get("domain", ()), sides.get("general", ()), ratio, params)
    if is_typed(context, "model") and wanted.by == "rows":
        raise UsageError("--model says whose tokens are counted; give --by tokens, too")
    base = name or wanted.output_name
    several = len(wanted.ratios) > 1
    names = [f"{base}_{each.as_name}" if several else base for each in wanted.ratios]
    for dataset in names:
        check_target(output, dataset, recipe.NAME, overwrite)
    mixtures = recipe.mix(wanted, _tell)
    for note in mixtures[0].notes:
        console.say(f"note: {note}")
    results = [
        _emit(each, output, dataset, overwrite, as_json)
        for each, dataset in zip(mixtures, names, strict=True)
    ]
    if as_json:
        typer.echo(json.dumps({"mixtures": results} if several else results[0], ensure_ascii=False))


def _of_file(
    file: str | None, sides: dict[str, tuple[MixSource, ...]], changes: dict[str, Any]
) -> Mixture:
    """Return the mixture of a file; what was typed besides takes the place of what it says."""
    from curate.mixture.spec import DEFAULT, find_mixture, read_mixture

    if sides:
        changes |= {"name": "", **sides}  # the file's name is that of its own sources
    return read_mixture(find_mixture(file or DEFAULT), changes)


def _tell(pool: Pool) -> None:
    """Say how the files were read and what never enters."""
    from curate.data.describe import how_read, notes_on

    for part in pool.parts:
        source = part.source
        console.say(f"read {source.name} as {how_read(source)}: {source.rows:,} rows")
        for note in notes_on(replace(source, unfilled={})):
            console.say(f"note: {note}")
        if source.unfilled:
            keys = ", ".join(f"{key}: …" for key in source.unfilled)
            console.say(
                f"note: {source.name} has placeholders; to fill them in, write a mixture file "
                f"with fill: {{{keys}}} for it, or fill=… in Python"
            )
    for note in pool.left_out_lines():
        console.say(f"note: {note}")


def _emit(mixed: Mixed, output: Path, name: str, overwrite: bool, as_json: bool) -> dict[str, Any]:
    """Write a mixture, show what it is made of, and return it as JSON has it."""
    from curate.data.describe import not_used
    from curate.selection import emit

    files = emit(mixed, output, name, overwrite)
    on = console.stderr() if as_json else console.stdout()
    console.show_table(*mixed.table(), on)
    on.print(f"asked {mixed.ratio}, got {mixed.realised()}", markup=False, soft_wrap=True)
    console.say(f"'{name}' is registered for LLaMA-Factory in {output}: {files[0].name}")
    console.say(f"which rows, and why not: {files[1]}; counts and parameters: {files[-1]}")
    counts = mixed.summary()
    return {
        "name": name,
        "read": counts.read,
        "scored": 0,
        "kept": counts.kept,
        "dropped": counts.dropped,
        "written": counts.written,
        "ratio": str(mixed.ratio),
        "realised": mixed.realised(),
        "sources": [{"name": each.name, **each.as_dict()} for each in mixed.sources],
        "files": [str(file) for file in files],
        "not_used": not_used(part.source for part in mixed.pool.parts),
    }
