"""`curate mix`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import DATA, AsJson, DatasetDir, Name, Output, Overwrite
from curate.commands.result import say_notes
from curate.commands.with_options import is_typed, spreading, with_options
from curate.parameters.mix import MixParams
from curate.parameters.option import option

if TYPE_CHECKING:
    from curate.mixture.draw import Pool
    from curate.mixture.mixed import Mixed

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
    domain: list[Path] | None = option(
        None, "Domain data: files, or registered names.", metavar="F…"
    ),
    general: list[Path] | None = option(
        None, "General data: files, registered names or a mixture file.", metavar="F…"
    ),
    ratio: str = option("1:5", "Domain : general; several for a sweep.", metavar="1:5[,1:10…]"),
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
    from curate.mixture.spec import DEFAULT, find_mixture, read_mixture, sources_of
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
        # The file's name is that of its own sources.
        changes |= {"name": "", **sides} if sides else {}
        wanted = read_mixture(find_mixture(mixture or DEFAULT), changes)
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
    say_notes(mixtures[0].notes)
    pairs = zip(mixtures, names, strict=True)
    results = [_emit(mixed, output, dataset, overwrite) for mixed, dataset in pairs]
    console.answer({"mixtures": results} if several else results[0])


def _tell(pool: Pool) -> None:
    """Say how the files were read and what never enters."""
    from curate.data.describe import how_read, notes_on

    for part in pool.parts:
        source = part.source
        console.say(f"read {source.name} as {how_read(source)}: {source.rows:,} rows")
        notes = [*notes_on(replace(source, unfilled={}))]
        if source.unfilled:
            keys = ", ".join(f"{key}: …" for key in source.unfilled)
            notes.append(
                f"{source.name} has placeholders; to fill them in, write a mixture file "
                f"with fill: {{{keys}}} for it, or fill=… in Python"
            )
        say_notes(notes)
    say_notes(pool.left_out_lines())


def _emit(mixed: Mixed, output: Path, name: str, overwrite: bool) -> dict[str, Any]:
    from curate.choices.emitting import emit
    from curate.data.describe import not_used

    files = emit(mixed, output, name, overwrite)
    console.show_table(*mixed.table())
    asked = f"asked {mixed.ratio}, got {mixed.realised()}"
    console.stdout().print(asked, markup=False, soft_wrap=True)
    console.say(f"'{name}' is registered for LLaMA-Factory in {output}: {files[0].name}")
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
