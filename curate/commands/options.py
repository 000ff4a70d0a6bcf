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
    typer.Option("--input", metavar="F…", help="Files, folders, hf://OWNER/NAME; told by content."),
]
More = Annotated[list[Path] | None, typer.Argument(hidden=True, metavar="")]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="Of the rows; default: told by content."),
]
GoodOnly = Annotated[
    bool,
    typer.Option("--good-only", help="Of rows with verdicts (kto_tag), leave out the bad ones."),
]
Fill = Annotated[
    list[str] | None,
    typer.Option(
        "--fill", metavar="NAME=TEXT…", help="Put TEXT where rows say {{NAME}}; several may follow."
    ),
]
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


WithControl = Annotated[
    bool,
    typer.Option(
        "--with-control", help="Write a random set of the same size, too, as NAME_random."
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


def read_inputs(
    input_: list[Path] | None,
    more: list[Path] | None,
    format_: str | None = None,
    fill: list[str] | None = None,
) -> Rows:
    """Read what a command was given, and say how each file was read and what was changed.

    Args:
        input_: Given with --input.
        more: Given without an option.
        format_: Given with --format.
        fill: Given with --fill.

    Raises:
        UsageError: Nothing was given, or something that does not fit.
        DataError: A file cannot be read.
    """
    from curate.data.placeholders import pairs
    from curate.data.read import read

    rows = read(inputs(input_, more), format_, pairs(fill or []))
    say_what_was_read(rows)
    return rows


def say_what_was_read(rows: Rows) -> None:
    """Say how every file was read, what the rows look like, and what was changed to read them.

    Args:
        rows: From read().
    """
    from curate.data.describe import counted, to_lines

    description = rows.description()
    for name, count, how in description.sources:
        console.say(f"read {name} as {how}: {counted(count)}")
    for name, what in to_lines(description):
        console.say(f"  {name}: {what}")
    for note in description.notes:
        console.say(f"note: {note}")


def plain(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON takes it.

    Args:
        value: The dataclass.
    """
    pairs = dataclasses.asdict(value).items()
    return {key: str(each) if isinstance(each, Path) else each for key, each in pairs}


def check_targets(
    output: Path, name: str, recipe: str, overwrite: bool, with_control: bool
) -> None:
    """Refuse what could not be written, before hours are spent on it; the control's name, too.

    Args:
        output: Folder.
        name: Of the data set.
        recipe: That will make it.
        overwrite: Replace another's data set of that name.
        with_control: Whether a random set of the same size is written beside it.
    """
    from curate.emission.emit import check_target

    check_target(output, name, recipe, overwrite)
    if with_control:
        from curate.recipes import control

        check_target(output, name + control.ENDING, control.NAME, overwrite)


def emit_and_show(
    selection: Selection,
    output: Path,
    name: str,
    overwrite: bool,
    show: int,
    as_json: bool,
    control: bool | None = None,
) -> None:
    """Write a selection, then show what was kept and dropped, and where it lies.

    Args:
        selection: What a recipe gave.
        output: Folder.
        name: Of the data set.
        overwrite: Replace another's data set of that name.
        show: Kept rows to print.
        as_json: End stdout with one JSON object; tables go to stderr then.
        control: None for a choice that no random one compares with; else the mean score of a
            random choice is shown, and with True that choice is written, too.
    """
    from curate.selection import emit

    files = emit(selection, output, name, overwrite)
    counts = dataclasses.asdict(selection.summary())
    table_goes = console.stderr() if as_json else None
    if show:
        best = selection.top(show).drop(columns=["id", "source"])
        console.show_table(list(best.itertuples(index=False)), list(best.columns), table_goes)
    console.counts_table(counts, table_goes)
    result = {"name": name, **counts, **selection.details, "files": [str(file) for file in files]}
    if control is not None:
        result |= _compare(selection, output, name, overwrite, control)
    for note in selection.notes:
        console.say(f"note: {note}")
    console.say(f"'{name}' is registered for LLaMA-Factory in {output}: {files[0].name}")
    console.say(f"scores of every row: {files[1]}; counts and parameters: {files[-1]}")
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))


def _compare(
    selection: Selection, output: Path, name: str, overwrite: bool, write: bool
) -> dict[str, Any]:
    """Say the mean score beside that of a random choice of the same size; write that, if asked."""
    from curate.recipes import control
    from curate.selection import emit

    drawn = control.control(selection)
    own, other = control.mean_score(selection), control.mean_score(drawn)
    rows = drawn.params.keep
    console.say(
        f"scores of the {rows:,} kept rows: mean {selection.ranked_by} {own:.4f}; of {rows:,} "
        f"random rows: {other:.4f}"
    )
    if not write:
        return {}
    called = name + control.ENDING
    files = emit(drawn, output, called, overwrite)
    console.say(f"'{called}', the random control, is registered too: {files[0].name}")
    told = {"name": called, "score": selection.ranked_by, "mean": own, "random_mean": other}
    return {"control": {**told, "files": [str(file) for file in files]}}
