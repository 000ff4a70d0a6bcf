"""The command `train`."""

from __future__ import annotations

from curate import console
from curate.commands.with_options import program
from train.commands import stages
from train.commands.estimate import estimate
from train.setup import setup

app = program(
    "Fine-tune on an emitted data set: `train sft` takes the newest and the bundled model."
)
stages.add_to(app)
app.command()(estimate)
app.command("ls")(stages.list_)
app.command()(setup)


def main() -> None:
    console.run(lambda: app(standalone_mode=False))
