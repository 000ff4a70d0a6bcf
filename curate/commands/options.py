"""Options that several commands take, and what they read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.errors import UsageError

if TYPE_CHECKING:
    from curate.data.rows import Rows

Input = Annotated[
    list[Path] | None,
    typer.Option(
        "--input", metavar="F…", help="Files, folders, hf://OWNER/NAME, ms://…; told by content."
    ),
]
More = Annotated[list[Path] | None, typer.Argument(hidden=True, metavar="")]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="Of the rows; default: told by content."),
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
SAVES = Path("saves")
Saves = Annotated[Path, typer.Option(help="Folder of the trained model.")]
WithControl = Annotated[
    bool,
    typer.Option(
        "--with-control", help="Write a random set of the same size, too, as NAME_random."
    ),
]


@dataclass(frozen=True)
class Reading:
    """What is read, and how."""

    input: Input = None
    more: More = None
    format: Format = None
    fill: Fill = None

    def paths(self) -> list[Path]:
        """Join `--input a b`, `--input a --input b` and `a b`."""
        return inputs(self.input, self.more)

    def rows(self) -> Rows:
        """Read, and say how each file was read and what was changed."""
        from curate.data.placeholders import pairs
        from curate.data.read import read

        rows = read(self.paths(), self.format, pairs(self.fill or []))
        say_what_was_read(rows)
        return rows


@dataclass(frozen=True)
class Writing:
    """Where a choice goes, and how its result is shown."""

    output: Output = Path("data")
    name: Name = None
    overwrite: Overwrite = False
    show: Show = 5
    as_json: AsJson = False
    verbose: Verbose = False


def inputs(input_: list[Path] | None, more: list[Path] | None) -> list[Path]:
    """Join `--input a b`, `--input a --input b` and `a b`: shells expand a pattern to the first."""
    paths = [*(input_ or ()), *(more or ())]
    if not paths:
        raise UsageError("no input: give --input FILE (a file, several, or a folder)")
    return paths


def say_what_was_read(rows: Rows) -> None:
    """Say how every file was read, what the rows look like, and what was changed to read them."""
    from curate.data.describe import counted, to_lines

    description = rows.description()
    for name, count, how in description.sources:
        console.say(f"read {name} as {how}: {counted(count)}")
    for name, what in to_lines(description):
        console.say(f"  {name}: {what}")
    for note in description.notes:
        console.say(f"note: {note}")


def plain(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON takes it."""
    pairs = dataclasses.asdict(value).items()
    return {key: str(each) if isinstance(each, Path) else each for key, each in pairs}
