"""Options that several commands take, and what they read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.errors import UsageError
from curate.parameters.controls import CONTROLS

if TYPE_CHECKING:
    from curate.data.naming import Naming
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
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="NAME=KEY…",
        help="Keys of the rows: prompt=ask response=reply; messages=dialog role=who content=text.",
    ),
]
Roles = Annotated[
    list[str] | None,
    typer.Option("--roles", metavar="ROLE=WORD…", help="Of messages: user=患者 assistant=医生."),
]
Dataset = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset", metavar="NAME…", help="Instead of files: names in dataset_info.json."
    ),
]
DatasetDir = Annotated[
    Path | None,
    typer.Option("--dataset-dir", help="Folder of dataset_info.json.", show_default="data"),
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
DATA, SAVES = Path("data"), Path("saves")
Saves = Annotated[Path, typer.Option(help="Folder of the trained model.")]
WithControl = Annotated[
    list[str] | None,
    typer.Option(
        "--with-control",
        metavar="[WORD…]",
        help="Write what a choice has to beat, too: as many random rows, as NAME_random; or any of "
        f"{', '.join(CONTROLS)}, by tokens or length like the choice, as NAME_random_tokens …",
    ),
]


@dataclass(frozen=True)
class Reading:
    """What is read, and how."""

    input: Input = None
    more: More = None
    format: Format = None
    fill: Fill = None
    columns: Columns = None
    roles: Roles = None
    dataset: Dataset = None
    dataset_dir: DatasetDir = None

    def folder(self, output: Path = DATA) -> Path:
        """Return where registered names are looked up: --dataset-dir, else the output folder."""
        return self.dataset_dir or output

    def paths(self, output: Path = DATA) -> list[Path]:
        """Return what is read: `--input a b`, `--input a --input b`, `a b`, or --dataset's files.

        A registered name that is given as a file is refused; one of a hub has no file here.
        """
        if self.dataset:
            from curate.llamafactory.dataset_info import located

            places = [located(self.folder(output), name) for name in self.dataset]
            return [place for place in places if isinstance(place, Path)]
        paths = inputs(self.input, self.more)
        if names := [str(path) for path in paths if self._is_registered(path, output)]:
            given = f" --dataset-dir {self.folder(output)}" if self.folder(output) != DATA else ""
            raise UsageError(
                f"--input {names[0]}: no such file, but a data set of that name is registered in "
                f"{self.folder(output)}; give{given} --dataset {' '.join(names)}"
            )
        return paths

    def called(self, output: Path = DATA) -> Path:
        """Return what a data set without a name is named after."""
        return Path(f"{self.dataset[0]}.") if self.dataset else self.paths(output)[0]

    def with_names(self) -> Reading:
        """Return it with registered names, given as files, for what they are."""
        paths = [*(self.input or ()), *(self.more or ())]
        if paths and all(self._is_registered(path, DATA) for path in paths):
            return replace(self, input=None, more=None, dataset=[str(path) for path in paths])
        return self

    def rows(self, output: Path = DATA) -> Rows:
        """Read, and say how each file was read and what was changed."""
        from curate.data.read import read

        rows = read(**self.how(output))
        say_what_was_read(rows)
        return rows

    def how(self, output: Path = DATA) -> dict[str, Any]:
        """Return the arguments of curate.read()."""
        from curate.data.placeholders import pairs

        names = self.dataset or []
        return {
            "paths": [*(self.input or ()), *(self.more or ())] if names else self.paths(output),
            "format": self.format,
            "fill": pairs(self.fill or []),
            "columns": (naming := named(self.columns, self.roles)).columns,
            "roles": naming.roles,
            "dataset": names,
            "dataset_dir": self.folder(output),
        }

    def _is_registered(self, path: Path, output: Path) -> bool:
        from curate.llamafactory.dataset_info import is_registered

        return is_registered(path, self.folder(output))


@dataclass(frozen=True)
class Sides:
    """Other sets, and how they are read."""

    against: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="F…",
            help="Other sets, chosen already or to be tested on: files, registered names, "
            "mixture files.",
        ),
    ] = None
    against_format: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the rows of --against.")
    ] = None

    def rows(self, folder: Path) -> list[Rows]:
        """Read each by itself, as they may have other shapes than the rows, and say how.

        `folder` is where registered names are looked up.
        """
        from curate.mixture.spec import sources_of

        others = [
            source.read(questions=True)
            for side in self.against or ()
            for source in sources_of(side, folder, self.against_format)
        ]
        for other in others:
            say_what_was_read(other)
        return others


@dataclass(frozen=True)
class Writing:
    """Where a choice goes, and how its result is shown."""

    output: Output = Path("data")
    name: Name = None
    overwrite: Overwrite = False
    show: Show = 5
    as_json: AsJson = False
    verbose: Verbose = False


def named(columns: list[str] | None, roles: list[str] | None) -> Naming:
    """Return what --columns and --roles name."""
    from curate.data.naming import naming, pairs

    return naming(
        pairs("--columns", columns or (), "prompt=ask response=reply"),
        pairs("--roles", roles or (), "user=患者 assistant=医生"),
    )


def inputs(input_: list[Path] | None, more: list[Path] | None) -> list[Path]:
    """Join `--input a b`, `--input a --input b` and `a b`: shells expand a pattern to the first."""
    paths = [*(input_ or ()), *(more or ())]
    if not paths:
        raise UsageError(
            "no input: give --input FILE (a file, several, or a folder), or --dataset NAME"
        )
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
