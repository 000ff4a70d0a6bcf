"""`curate prove`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate import console
from curate.commands.options import (
    DATA,
    LIKE,
    SAVES,
    AsJson,
    Name,
    Output,
    Reading,
    Saves,
    Verbose,
    say_what_was_read,
    sets_of,
)
from curate.commands.result import say_notes
from curate.commands.with_options import with_options
from curate.errors import OutputError, UsageError
from curate.parameters.option import option
from curate.parameters.prove import ProveParams

if TYPE_CHECKING:
    from curate.proofs.result import Proof
    from curate.proofs.trainings import Measured


@with_options
def prove(
    reading: Reading,
    params: ProveParams,
    arm: list[str] | None = option(
        None, "Registered data sets as arms of their own.", metavar="NAME…"
    ),
    like: list[str] | None = option(**LIKE),
    general: Path | None = option(
        None, "Rows of other kinds, to see what is forgotten.", metavar="F"
    ),
    workers: Annotated[int, typer.Option(help="Trainings side by side.", min=1)] = 1,
    dry_run: bool = option(False, "Show arms and time, by a training of two steps."),
    output: Output = DATA,
    name: Name = None,
    saves: Saves = SAVES,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Train on a choice and on random rows of as many tokens, and say whether it was worth it.

    A test set is split off without twins; every arm is chosen from the rest and
    trained --repeats times in the same way; all are measured by the NLL of the
    test responses. Intervals come from resampling test rows and trainings,
    p-values are corrected for the number of arms (Holm). That nothing was shown
    is a result, too: the output says which difference would have been found.

    The same command goes on where it was stopped.

    With --answers and --judge every model answers the test rows, too, which takes
    longer than the rest.

    Example: curate prove --input huatuo.json --arms like,ifd --like liver.json
    --keep 10%-tokens
    """
    from curate.data.read import read
    from curate.emission.emit import check_target, default_name
    from curate.mixture.spec import sources_of
    from curate.proofs.arms import Place
    from curate.proofs.page import draw
    from curate.proofs.proof import prove as run
    from curate.proofs.result import write_proof
    from curate.recipes.like import read_sets
    from curate.system.files import write_text

    called = name or default_name(reading.called(output), "prove")
    folder = output / called
    check_target(folder, called, "split", overwrite=True)
    sets = read_sets(sets_of(like), reading.folder(output))
    for asked in (each for some in sets for each in some):
        say_what_was_read(asked)
    others = {each: read(dataset=each, dataset_dir=reading.folder(output)) for each in arm or ()}
    other = None
    if general is not None:
        sources = sources_of(general, reading.folder(output))
        if len(sources) != 1:
            raise UsageError(
                f"--general {general}: a mixture of {len(sources)} sources; give one file or name"
            )
        other = sources[0].read()
    proof = run(
        reading.rows(output),
        params,
        Place(folder, saves / called, called),
        like=sets,
        others=others,
        general=other,
        workers=workers,
        dry_run=dry_run,
        ended=_tell,
    )
    _show(proof, workers)
    say_notes(proof.notes)
    if not dry_run:
        written = write_proof(proof, folder, called)
        page = folder / f"{called}.html"
        write_text(page, draw(proof, called))
        console.say(f"all numbers: {written}; to look at: {page}")
    console.answer(proof.as_dict())
    if proof.failed:
        raise OutputError(
            f"no numbers of {', '.join(proof.failed)}: why stands above; put that right and give "
            "the same command again, the others are kept"
        )


def _tell(measured: Measured) -> None:
    for measure, numbers in measured.numbers.items():
        means = ", ".join(f"{line[line == line].mean():.4f}" for line in numbers)
        console.say(f"arm {measured.arm.name}: {measure} of each training {means}")


def _show(proof: Proof, workers: int) -> None:
    if proof.foreseen:
        arms = proof.as_dict()["arms"]
        lines = [
            [name, each["rows"], each["tokens"], each["control"] or ""]
            for name, each in arms.items()
        ]
        console.show_table(lines, ("arm", "rows", "tokens", "against"))
        seconds = proof.foreseen.seconds(proof.params.steps, workers)
        console.say(
            f"{proof.foreseen.trainings} trainings of {proof.params.steps} steps: "
            f"{proof.foreseen.start:.0f} s to start, {proof.foreseen.step:.1f} s a step, about "
            f"{seconds / 60:.0f} min in all"
        )
        return
    lines, header = proof.table()
    console.show_table([line[:7] for line in lines], header[:7])
    if header[7:]:
        console.show_table([[line[0], *line[7:]] for line in lines], (header[0], *header[7:]))
    console.say(proof.sentence())
