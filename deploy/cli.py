"""The command `deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

from curate import console
from curate.commands.with_options import Commands, spreading, with_options
from deploy.commands import ask, compare, models, serve, setup

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
    """Merge, quantise, serve and compare a trained model."""
    console.show_version_or_help(context, version)


app.command("ask")(ask.ask)
app.command("chat")(ask.chat)
app.command("compare", cls=spreading("--exam"))(with_options(compare.compare))
app.command("eval", cls=spreading("--exam"))(with_options(compare.eval_))
app.command("merge")(with_options(models.merge))
app.command("serve")(with_options(serve.serve))
app.command("quantize")(with_options(models.quantize))
app.command("setup")(with_options(setup.setup))


def main() -> None:
    """Run the command line."""
    console.run(lambda: app(standalone_mode=False))
