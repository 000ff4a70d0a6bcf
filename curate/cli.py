"""The command `curate`: joins the commands of `curate.commands`, which are thin, too."""

from __future__ import annotations

from typing import Annotated

import typer

from curate import console
from curate.commands import (
    advise,
    cache,
    car,
    convert,
    datasets,
    decontaminate,
    dedup,
    doctor,
    ifd,
    ls,
    mix,
    models,
    mods,
    ranker,
    rm,
    score,
    select,
    show,
    split,
)
from curate.commands.with_options import READING, spreading
from curate.parameters.controls import CONTROLS

_CHOOSING = {"--with-control": CONTROLS}

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Choose what to fine-tune on: score rows by published methods, keep the best, "
    "write them where LLaMA-Factory finds them.",
)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    console.show_version_or_help(context, version)


app.command("advise", cls=spreading(*READING, together=["--like"]))(advise.advise)
app.command("cache")(cache.cache)
app.command("car", cls=spreading(*READING, words=_CHOOSING))(car.car)
app.command("convert", cls=spreading(*READING))(convert.convert)
app.command("datasets")(datasets.datasets)
app.command("decontaminate", cls=spreading(*READING, "--against"))(decontaminate.decontaminate)
app.command("dedup", cls=spreading(*READING, "--against"))(dedup.dedup)
app.command("doctor", cls=spreading(*READING))(doctor.doctor)
app.command("ifd", cls=spreading(*READING, words=_CHOOSING))(ifd.ifd)
app.command("mix", cls=mix.Command)(mix.mix)
app.command("models")(models.models)
app.command("mods", cls=spreading(*READING, words=_CHOOSING))(mods.mods)
app.command("ls")(ls.list_)
app.command("score", cls=spreading(*READING))(score.score)
app.command(
    "select", cls=spreading(*READING, "--scores", "--between", together=["--like"], words=_CHOOSING)
)(select.select)
app.command("show", cls=spreading(*READING, "--id", "--scores"))(show.show)
app.command("rm")(rm.rm)
app.command("split", cls=spreading(*READING))(split.split)
app.add_typer(ranker.app, name="ranker")


def main() -> None:
    """Run the command line."""
    console.run(lambda: app(standalone_mode=False))
