"""The command `deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

from curate import console
from deploy.commands import ask, compare, merge, quantize, serve, setup

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Merge, quantise, serve and compare a trained model."""
    console.show_version_or_help(context, version)


app.command("ask")(ask.ask)
app.command("compare")(compare.compare)
app.command("merge")(merge.merge)
app.command("serve")(serve.serve)
app.command("quantize")(quantize.quantize)
app.command("setup")(setup.setup)


def main() -> None:
    """Run the command line."""
    console.run(lambda: app(standalone_mode=False))
