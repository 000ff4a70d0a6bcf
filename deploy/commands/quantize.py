"""`deploy quantize`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from deploy.quantizing.grouping import ALLOWED

if TYPE_CHECKING:
    from deploy.quantizing.calibration import Drawn
    from deploy.quantizing.quantize import Quantised, QuantiseParams


def quantize(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="What `deploy merge` made, a name, folder or hub id."),
    ],
    bits: Annotated[int, typer.Option(metavar="4|8", help="For each weight.")] = 4,
    output: Annotated[
        Path | None, typer.Option(help="Folder to make.", show_default="MODEL-4bit")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Its rows are looked at.", show_default="what it was trained on"),
    ] = None,
    dataset_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of dataset_info.json.", show_default="the run's, else data"),
    ] = None,
    rows: Annotated[int, typer.Option(help="To quantise with, at most.")] = 128,
    group_size: Annotated[
        int | None,
        typer.Option(
            help="Weights that share a scale.", show_default="largest that divides its layers"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw of rows.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="End stdout with one JSON object.")
    ] = False,
) -> None:
    """Make a model smaller by GPTQ, and measure what that costs.

    GPTQModel does it, in the environment that `deploy setup gptq` builds. Rows that
    quantising does not look at tell the perplexity before and after.

    Example: deploy quantize saves/huatuo_ifd-merged --bits 4
    """
    from deploy.output import check_output, default_output
    from deploy.quantizing import gptq
    from deploy.quantizing.calibration import calibration_set, find_model, read_drawn
    from deploy.quantizing.grouping import group_size as fitting
    from deploy.quantizing.quantize import QuantiseParams, check_model, quantise

    params = QuantiseParams(bits=bits, group_size=group_size, rows=rows, seed=seed)
    folder = find_model(model)
    fitting(group_size, check_model(folder, model))
    target = output or default_output(_named(model, folder), f"{bits}bit")
    check_output(target, 0)
    gptq.python()
    chosen = calibration_set(folder, dataset, dataset_dir)
    console.say(f"calibration: data set '{chosen.name}' in {chosen.folder}, {chosen.why}")
    tokenizer, drawn = read_drawn(folder, model, chosen, rows, seed)
    params = replace(params, dataset=chosen.name)
    _say_drawn(drawn, seed)
    found = quantise(folder, model, tokenizer, drawn, params, target, console.say)
    _show(found, drawn, params, as_json)


def _named(model: str, folder: Path) -> Path:
    """Return the folder as typed; a name or hub id becomes a folder here."""
    return (
        folder
        if Path(model).is_dir() or Path("saves", model).is_dir()
        else Path(model.rpartition("/")[2])
    )


def _say_drawn(drawn: Drawn, seed: int) -> None:
    left = ", ".join(f"{reason} {number:,}" for reason, number in drawn.left_out.items())
    console.say(
        f"of {drawn.rows:,} rows: {len(drawn.calibration):,} to quantise with, "
        f"{len(drawn.held_out):,} others to measure on{f'; left out: {left}' if left else ''} "
        f"(seed {seed})"
    )


def _show(found: Quantised, drawn: Drawn, params: QuantiseParams, as_json: bool) -> None:
    from deploy.quantizing.quantize import WORSE

    goes_to = console.stderr() if as_json else console.stdout()
    before, after = found.before, found.after
    lines = [
        ("weights", f"{before.bytes / 1e6:,.0f} MB", f"{after.bytes / 1e6:,.0f} MB"),
        ("perplexity", f"{before.perplexity:.3f}", f"{after.perplexity:.3f}"),
        ("answer", before.answer, after.answer),
    ]
    console.show_table(lines, ("", "before", f"{params.bits} bits"), goes_to)
    console.say(f"asked: {' '.join(found.question.split())}")
    console.say(
        f"perplexity {found.worse:+.1%} over the {before.tokens:,} response tokens of "
        f"{len(drawn.held_out):,} rows that it was not quantised with"
    )
    if found.worse > WORSE:
        console.say(
            f"warning: that is more than {WORSE:.0%} worse; try {_remedies(found, params)}. Small "
            "models lose most"
        )
    console.say(
        f"{found.folder}: {params.bits} bits, groups of {found.group_size}, "
        f"{found.seconds:,.0f} s; next: deploy serve {found.folder}"
    )
    if as_json:
        typer.echo(json.dumps(_plain(found, drawn, params), ensure_ascii=False))


def _remedies(found: Quantised, params: QuantiseParams) -> str:
    smaller = [each for each in ALLOWED if each < found.group_size]
    told = ["--bits 8"] if params.bits == 4 else []
    told += [f"--group-size {smaller[0]}"] if smaller else []
    return ", ".join([*told, "or more rows like those it will be asked (--rows, --dataset)"])


def _plain(found: Quantised, drawn: Drawn, params: QuantiseParams) -> dict[str, Any]:
    from deploy.quantizing.quantize import WORSE

    return {
        "folder": str(found.folder),
        "bits": params.bits,
        "group_size": found.group_size,
        "dataset": params.dataset,
        "calibration_rows": len(drawn.calibration),
        "held_out_rows": len(drawn.held_out),
        "left_out": drawn.left_out,
        "question": found.question,
        "before": asdict(found.before),
        "after": asdict(found.after),
        "worse": found.worse,
        "warning": found.worse > WORSE,
        "seconds": found.seconds,
    }
