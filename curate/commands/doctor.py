"""`curate doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import (
    AsJson,
    Fill,
    Input,
    More,
    Overwrite,
    TrustRemoteCode,
    inputs,
)
from curate.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from curate.llamafactory.doctor.diagnosis import Diagnosis


def doctor(
    input: Input = None,  # noqa: A002 - the option's name
    more: More = None,
    dataset_dir: Annotated[
        Path | None, typer.Option(help="Folder of dataset_info.json.", show_default="data")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Name in dataset_info.json.", metavar="NAME…")
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(metavar="pt|sft|rm|dpo|kto", help="Default: the one the entry is meant for."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Whose tokenizer measures what --cutoff-len leaves.")
    ] = None,
    cutoff_len: Annotated[
        int | None, typer.Option(help="Tokens of a row, as in the training.", metavar="N")
    ] = None,
    template: Annotated[
        str,
        typer.Option(
            help="LLaMA-Factory's, as in the training; own: the tokenizer's.",
            metavar="auto|chatml|default|alpaca|empty|own",
        ),
    ] = "auto",
    no_packing: Annotated[
        bool, typer.Option("--no-packing", help="Stage pt: rows are cut, not packed.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write NAME_fixed, with every row that can be used.")
    ] = False,
    fill: Fill = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for --fix; that of dataset_info.json, else data.", metavar="DIR"),
    ] = None,
    overwrite: Overwrite = False,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Tell what LLaMA-Factory 0.9.5 will do with a data set: what it uses, drops, loses in silence.

    A file is judged under the entry that most people would write for it; a registered data set
    under its own. Ends with 1 if anything is lost, and with 0 if all is well.

    Example: curate doctor --input dpo_zh.jsonl --fix
    """
    from curate.data.placeholders import pairs
    from curate.llamafactory.doctor import api
    from curate.llamafactory.doctor.diagnose import check_stage, diagnose
    from curate.llamafactory.doctor.diagnosis import as_json as json_of

    check_stage(stage)
    measure = api.cutoff_of(model, cutoff_len, template, no_packing, trust_remote_code)
    paths = inputs(input, more) if input or more else None
    texts = pairs(fill or [])
    if texts and not fix:
        raise UsageError("--fill puts text where rows have placeholders, and goes with --fix")
    on = console.stderr() if as_json else console.stdout()
    diagnoses: list[Diagnosis] = []
    repaired: list[dict[str, Any]] = []
    lost = False
    for data_set in api.data_sets(paths, dataset_dir, dataset, texts):
        before = diagnose(data_set, stage, measure)
        _tell(before, on)
        diagnoses.append(before)
        lost = lost or not (before.well or fix)
        if fix and before.well:
            console.say("nothing to repair, nothing was written")
        elif fix:
            made = api.fixed(data_set, dataset_dir, output, overwrite)
            after = diagnose(made.data_set, stage, measure)
            lines = [("usable before", before.usable), ("written", made.written)]
            lines += [(f"left out: {reason}", rows) for reason, rows in made.dropped.items()]
            console.show_table([*lines, ("usable after", after.usable)], on=on)
            _print(after.explained(), on)
            console.say(
                f"'{after.name}' is registered for LLaMA-Factory; {data_set.name} is as it was"
            )
            lost = lost or bool(made.dropped) or not after.well
            repaired.append({**after.as_dict(), "dropped": made.dropped, "files": made.files})
    if as_json:
        answer = json_of(diagnoses)
        typer.echo(json.dumps({**answer, "fixed": repaired} if fix else answer, ensure_ascii=False))
    if lost:
        raise typer.Exit(1)


def _tell(diagnosis: Diagnosis, on: Console) -> None:
    """Show a diagnosis: the entry, how many rows, what was found and what it means."""
    from curate.llamafactory.doctor.diagnosis import HEADER, one_line

    how = "judged as most people would register it" if diagnosis.assumed else "entry"
    console.say(f"{diagnosis.name}: {how}: {one_line(diagnosis.entry)}")
    if diagnosis.better is not None and not diagnosis.well:
        console.say(f"  curate registers: {one_line(diagnosis.better)}")
    if lines := diagnosis.lines():
        console.show_table(lines, HEADER, on)
    _print([*diagnosis.explained(), diagnosis.summary()], on)


def _print(lines: list[str], on: Console) -> None:
    for line in lines:
        on.print(line, markup=False, emoji=False, soft_wrap=True)
