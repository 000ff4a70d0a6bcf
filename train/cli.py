"""The command `train`."""

from __future__ import annotations

from typing import Annotated

import typer

from curate import console
from curate.commands.with_options import Commands
from train.commands import ls, stages
from train.commands.estimate import estimate
from train.setup import setup

app = typer.Typer(
    cls=Commands,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Fine-tune on an emitted data set: `train sft` takes the newest and the bundled model."""
    console.show_version_or_help(context, version)


stages.add_to(app)
app.command()(estimate)
app.command("ls")(ls.list_)
app.command()(setup)


def main() -> None:
    console.run(lambda: app(standalone_mode=False))
