"""Options that several commands take, and how their results are shown."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.errors import UsageError

if TYPE_CHECKING:
    from curate.data.rows import Rows
    from curate.selection import Selection

Input = Annotated[
    list[Path] | None,
    typer.Option("--input", metavar="F…", help="Files or folders of rows; told by content."),
]
More = Annotated[list[Path] | None, typer.Argument(hidden=True, metavar="")]
Output = Annotated[Path, typer.Option(help="Folder for data, scores and dataset_info.json.")]
Name = Annotated[
    str | None, typer.Option(help="Of the data set; default: the input's stem and the recipe.")
]
Seed = Annotated[int, typer.Option(help="For everything that is drawn.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another's data set.")]
Show = Annotated[int, typer.Option(help="Print so many of the kept rows, highest first.", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="End stdout with one JSON object.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Show what the libraries underneath have to say.")
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run the Python files that come with a model on this machine. Read them first.",
    ),
]


def inputs(input_: list[Path] | None, more: list[Path] | None) -> list[Path]:
    """Join `--input a b`, `--input a --input b` and `a b`: shells expand a pattern to the first.

    Args:
        input_: Given with the option.
        more: Given without it.
    """
    paths = [*(input_ or ()), *(more or ())]
    if not paths:
        raise UsageError("no input: give --input FILE (a file, several, or a folder)")
    return paths


def say_what_was_read(rows: Rows) -> None:
    """Say of every file how it was read.

    Args:
        rows: From read().
    """
    for source in rows.sources:
        read_as = f"{source.format}, {source.container}, {source.encoding}"
        console.say(f"read {source.name} as {read_as}: {source.rows:,} rows")


def plain(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON takes it.

    Args:
        value: The dataclass.
    """
    pairs = dataclasses.asdict(value).items()
    return {key: str(each) if isinstance(each, Path) else each for key, each in pairs}


def emit_and_show(
    selection: Selection, output: Path, name: str, overwrite: bool, show: int, as_json: bool
) -> None:
    """Write a selection, then show what was kept and dropped, and where it lies.

    Args:
        selection: What a recipe gave.
        output: Folder.
        name: Of the data set.
        overwrite: Replace another's data set of that name.
        show: Kept rows to print.
        as_json: End stdout with one JSON object; tables go to stderr then.
    """
    from curate.selection import emit

    files = emit(selection, output, name, overwrite)
    counts = dataclasses.asdict(selection.summary())
    table_goes = console.stderr() if as_json else None
    if show:
        best = selection.top(show).drop(columns=["id", "source"])
        console.show_table(list(best.itertuples(index=False)), list(best.columns), table_goes)
    console.counts_table(counts, table_goes)
    for note in selection.notes:
        console.say(f"note: {note}")
    console.say(f"'{name}' is registered for LLaMA-Factory in {output}: {files[0].name}")
    console.say(f"scores of every row: {files[1]}; counts and parameters: {files[-1]}")
    if as_json:
        result = {"name": name, **counts, "files": [str(file) for file in files]}
        typer.echo(json.dumps(result, ensure_ascii=False))
