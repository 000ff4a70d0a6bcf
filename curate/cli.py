"""The command `curate`: joins the commands of `curate.commands`, which are thin, too."""

from __future__ import annotations

from curate import console
from curate.commands import choosing, distill, listing, looking, ranker, sets
from curate.commands.prove import prove
from curate.commands.with_options import READING, program, spreading
from curate.parameters.controls import CONTROLS

_CHOOSING = {"--with-control": CONTROLS}

app = program(
    "Choose what to fine-tune on: score rows by published methods, keep the best, write them where "
    "LLaMA-Factory finds them."
)
for _name, _command, _class in (
    ("advise", looking.advise, spreading(*READING, together=["--like"])),
    ("cache", listing.cache, None),
    ("car", choosing.car, spreading(*READING, words=_CHOOSING)),
    ("convert", sets.convert, spreading(*READING)),
    ("datasets", listing.datasets, None),
    ("decontaminate", sets.decontaminate, spreading(*READING, "--against")),
    ("dedup", sets.dedup, spreading(*READING, "--against")),
    ("doctor", looking.doctor, spreading(*READING, "--mask", "--drop")),
    ("ifd", choosing.ifd, spreading(*READING, words=_CHOOSING)),
    ("mix", sets.mix, spreading("--domain", "--general", apart=(".yaml", ".yml"))),
    ("models", listing.models, None),
    ("mods", choosing.mods, spreading(*READING, words=_CHOOSING)),
    ("ls", listing.list_, None),
    (
        "prove",
        prove,
        spreading(*READING, "--arms", "--arm", "--exam", "--train-set", together=["--like"]),
    ),
    ("score", choosing.score, spreading(*READING)),
    (
        "select",
        choosing.select,
        spreading(*READING, "--scores", "--between", together=["--like"], words=_CHOOSING),
    ),
    ("show", looking.show, spreading(*READING, "--id", "--scores")),
    ("report", looking.report, spreading("--input")),
    ("rm", listing.rm, None),
    ("split", sets.split, spreading(*READING)),
):
    app.command(_name, cls=_class)(_command)
app.add_typer(distill.app, name="distill")
app.add_typer(ranker.app, name="ranker")


def main() -> None:
    """Run the command line."""
    console.run(lambda: app(standalone_mode=False))
