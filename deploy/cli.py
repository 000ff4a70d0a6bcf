"""The command `deploy`."""

from __future__ import annotations

from curate import console
from curate.commands.with_options import add, program, with_options
from deploy.commands import ask, compare, models

app = program("Merge, quantise, serve and compare a trained model.")
app.command("ask")(ask.ask)
app.command("chat")(ask.chat)
add(app, "compare", with_options(compare.compare))
add(app, "eval", with_options(compare.eval_))
app.command("merge")(with_options(models.merge))
app.command("serve")(with_options(models.serve))
app.command("quantize")(with_options(models.quantize))
app.command("setup")(with_options(models.setup))


def main() -> None:
    console.run(lambda: app(standalone_mode=False))
