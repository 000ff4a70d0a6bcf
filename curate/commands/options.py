"""Options that several commands take, and what they read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.errors import UsageError
from curate.parameters.controls import CONTROLS
from curate.parameters.engine import EngineParams
from curate.parameters.option import BETWEEN, option

if TYPE_CHECKING:
    from curate.choices.selection import Selection
    from curate.data.naming import Naming
    from curate.data.rows import Rows
    from curate.mixture.mixed import Mixed

More = Annotated[list[Path] | None, typer.Argument(hidden=True, metavar="")]
DatasetDir = Annotated[
    Path | None,
    typer.Option("--dataset-dir", help="Folder of dataset_info.json.", show_default="data"),
]
Output = Annotated[Path, typer.Option(help="Folder for data, scores and dataset_info.json.")]
Name = Annotated[
    str | None, typer.Option(help="Of the data set; default: the input's stem and the recipe.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another's data set.")]
ShardRows = Annotated[
    int,
    typer.Option(min=0, help="Write a folder, so many rows in each of its files; 0: one file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="End stdout with one JSON object.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Show what the libraries underneath have to say.")
]
DATA, SAVES = Path("data"), Path("saves")
Saves = Annotated[Path, typer.Option(help="Folder of the trained model.")]

FILES: dict[str, Any] = {
    "default": None,
    "help_": "Files, folders, hf://OWNER/NAME, ms://…; told by content.",
    "metavar": "F…",
}
LIKE: dict[str, Any] = {
    "default": None,
    "help_": "Questions as the model will get them, for the choice `like`: files or registered "
    "names, .txt a line each; once more is another set.",
    "metavar": "F…",
    "together": True,
}


def sets_of(like: list[str] | None) -> list[list[Path]]:
    """Return the files of each set of questions."""
    return [[Path(name) for name in names.split(BETWEEN)] for names in like or ()]


def refuse_missing(option: str, folder: Path, usual: Path) -> None:
    """Refuse a folder that is not there, unless nobody named it."""
    if folder != usual and not folder.is_dir():
        raise UsageError(f"{option} {folder}: there is no such folder")


@dataclass(frozen=True)
class Named:
    """What is registered, or what its columns and roles are called."""

    columns: list[str] | None = option(
        None,
        "Keys of the rows: prompt=ask response=reply; messages=dialog role=who content=text.",
        metavar="NAME=KEY…",
    )
    roles: list[str] | None = option(
        None, "Of messages: user=患者 assistant=医生.", metavar="ROLE=WORD…"
    )
    dataset: list[str] | None = option(
        None, "Instead of files: names in dataset_info.json.", metavar="NAME…"
    )
    dataset_dir: DatasetDir = None

    def naming(self) -> Naming:
        """Return what --columns and --roles name."""
        from curate.data.naming import naming
        from curate.data.placeholders import words_named

        word = "NAME=WORD, for example"
        return naming(
            words_named("--columns", self.columns or (), f"{word} prompt=ask response=reply"),
            words_named("--roles", self.roles or (), f"{word} user=患者 assistant=医生"),
        )


@dataclass(frozen=True)
class Reading(Named):
    """What is read, and how."""

    input: list[Path] | None = option(**FILES)
    more: More = None
    format: str | None = option(None, "Of the rows; default: told by content.", metavar="NAME")
    fill: list[str] | None = option(
        None, "Put TEXT where rows say {{NAME}}; several may follow.", metavar="NAME=TEXT…"
    )
    skip_bad_shards: bool = option(False, "Go on without files that cannot be read; say which.")

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
            "columns": (naming := self.naming()).columns,
            "roles": naming.roles,
            "dataset": names,
            "dataset_dir": self.folder(output),
            "skip_bad_shards": self.skip_bad_shards,
        }

    def _is_registered(self, path: Path, output: Path) -> bool:
        from curate.llamafactory.dataset_info import is_registered

        return is_registered(path, self.folder(output))


@dataclass(frozen=True)
class Sides:
    """Other sets, and how they are read."""

    against: list[Path] | None = option(
        None,
        "Other sets, chosen already or to be tested on: files, registered names, mixture files.",
        metavar="F…",
    )
    against_format: str | None = option(None, "Of the rows of --against.", metavar="NAME")

    def rows(self, folder: Path) -> list[Rows]:
        """Read each by itself, as they may have other shapes than the rows, and say how.

        `folder` is where registered names are looked up.
        """
        from curate.data.formats import format_named
        from curate.mixture.spec import sources_of
        from curate.recipes.like import questions_from

        if self.against_format is not None:
            if not self.against:
                raise UsageError(
                    f"--against-format {self.against_format}: give --against F, whose rows it is of"
                )
            format_named(self.against_format, "--against-format")
        others = [
            questions_from(source)
            for side in self.against or ()
            for source in sources_of(side, folder, self.against_format)
        ]
        for other in others:
            say_what_was_read(other)
        return others


@dataclass(frozen=True)
class Target:
    """Where what is made goes, and under which name."""

    output: Output = DATA
    name: Name = None
    overwrite: Overwrite = False
    as_json: AsJson = False

    def called(self, reading: Reading, ending: str) -> str:
        """Return the name of the data set: as typed, else what is read, and an ending."""
        from curate.emission.emit import default_name

        return self.name or default_name(reading.called(self.output), ending)

    def check(self, name: str, recipe: str) -> None:
        """Refuse what could not be written, before hours are spent on it."""
        from curate.emission.emit import check_target

        shard_rows = getattr(self, "shard_rows", 0)
        check_target(self.output, name, recipe, self.overwrite, shard_rows)


@dataclass(frozen=True)
class DataTarget(Target):
    """Where a data set goes, in one file or several."""

    shard_rows: ShardRows = 0

    def emit(self, chosen: Selection | Mixed, name: str) -> list[Path]:
        """Write a choice or a mixture; return its files."""
        from curate.choices.emitting import emit

        return emit(chosen, self.output, name, self.overwrite, self.shard_rows)


@dataclass(frozen=True)
class Answers(Target):
    """Where what models answer goes."""

    verbose: Verbose = False


@dataclass(frozen=True)
class Writing(Answers):
    """Where scores go, and how many of them are shown."""

    show: Annotated[
        int, typer.Option(help="Print so many of the kept rows, highest first.", min=0)
    ] = 5


@dataclass(frozen=True)
class Emitting(Writing, DataTarget):
    """Where a choice goes, and how many of its rows are shown."""


@dataclass(frozen=True)
class Choosing(Emitting, EngineParams):
    """Where a choice goes, where its models compute, and the controls beside it."""

    with_control: list[str] | None = option(
        None,
        "Write what a choice has to beat, too: as many random rows, as NAME_random; or any of "
        f"{', '.join(CONTROLS)}, by tokens or length like the choice, as NAME_random_tokens …",
        metavar="[WORD…]",
        words=CONTROLS,
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
