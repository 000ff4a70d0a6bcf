"""The command `curate`: joins the commands of `curate.commands`, which are thin, too."""

from __future__ import annotations

from curate import console
from curate.commands import choosing, distill, listing, looking, ranker, sets
from curate.commands.prove import prove
from curate.commands.with_options import add, program

app = program(
    "Choose what to fine-tune on: score rows by published methods, keep the best, write them where "
    "LLaMA-Factory finds them."
)
for _name, _command in {
    "advise": looking.advise,
    "cache": listing.cache,
    "car": choosing.car,
    "convert": sets.convert,
    "datasets": listing.datasets,
    "decontaminate": sets.decontaminate,
    "dedup": sets.dedup,
    "doctor": looking.doctor,
    "ifd": choosing.ifd,
    "mix": sets.mix,
    "models": listing.models,
    "mods": choosing.mods,
    "ls": listing.list_,
    "prove": prove,
    "score": choosing.score,
    "select": choosing.select,
    "show": looking.show,
    "report": looking.report,
    "rm": listing.rm,
    "split": sets.split,
}.items():
    add(app, _name, _command)
app.add_typer(distill.app, name="distill")
app.add_typer(ranker.app, name="ranker")


def main() -> None:
    """Run the command line."""
    console.run(lambda: app(standalone_mode=False))
