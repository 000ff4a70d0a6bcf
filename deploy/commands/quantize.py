"""`deploy quantize`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from curate import console

if TYPE_CHECKING:
    from deploy.quantizing.quantize import Quantised, QuantiseParams


def quantize(
    model: Annotated[str, Argument(metavar="MODEL", help="A merged model, name, folder, hub id.")],
    bits: Annotated[int, Option(metavar="4|8", help="For each weight.")] = 4,
    output: Annotated[Path | None, Option(help="New folder.", show_default="MODEL-4bit")] = None,
    dataset: Annotated[
        str | None, Option(help="Its rows are looked at.", show_default="what it was trained on")
    ] = None,
    dataset_dir: Annotated[
        Path | None, Option(help="Of dataset_info.json.", show_default="the run's, else data")
    ] = None,
    rows: Annotated[int, Option(help="To quantise with, at most.")] = 128,
    group_size: Annotated[
        int | None, Option(help="Weights that share a scale.", show_default="largest that fits")
    ] = None,
    seed: Annotated[int, Option(help="Of the draw of rows.")] = 0,
    as_json: Annotated[bool, Option("--json", help="End stdout with one JSON object.")] = False,
) -> None:
    """Make a model smaller by GPTQ, and measure what that costs.

    GPTQModel does it, in the environment that `deploy setup gptq` builds. Rows that
    quantising does not look at tell the perplexity before and after.

    Example: deploy quantize saves/huatuo_ifd-merged --bits 4
    """
    from deploy.quantizing.quantize import WORSE, QuantiseParams, quantise

    params = QuantiseParams(bits=bits, group_size=group_size, rows=rows, seed=seed)
    quantised = quantise(model, params, output, dataset, dataset_dir, console.say)
    _show(quantised, params, as_json)
    if as_json:
        names = ("group_size", "dataset", "question", "before", "after", "worse", "seconds")
        report = {
            "folder": str(quantised.folder),
            "bits": bits,
            **{name: getattr(quantised, name) for name in names},
            "calibration_rows": len(quantised.drawn.calibration),
            "held_out_rows": len(quantised.drawn.held_out),
            "left_out": quantised.drawn.left_out,
            "warning": quantised.worse > WORSE,
        }
        typer.echo(json.dumps(report, ensure_ascii=False))


def _show(quantised: Quantised, params: QuantiseParams, as_json: bool) -> None:
    from deploy.quantizing.quantize import GROUPS, WORSE

    goes_to = console.stderr() if as_json else console.stdout()
    columns = (quantised.before, quantised.after)
    lines = [
        ("weights", *(f"{column['bytes'] / 1e6:,.0f} MB" for column in columns)),
        ("perplexity", *(f"{column['perplexity']:.3f}" for column in columns)),
        ("answer", *(column["answer"] for column in columns)),
    ]
    console.show_table(lines, ("", "before", f"{params.bits} bits"), goes_to)
    console.say(f"asked: {' '.join(quantised.question.split())}")
    console.say(
        f"perplexity {quantised.worse:+.1%} over the {quantised.before['tokens']:,} response "
        f"tokens of {len(quantised.drawn.held_out):,} rows that it was not quantised with"
    )
    if quantised.worse > WORSE:
        remedies = ["--bits 8"] if params.bits == 4 else []
        remedies += [f"--group-size {n}" for n in GROUPS if n < quantised.group_size][:1]
        remedies += ["or more rows like those it will be asked (--rows, --dataset)"]
        console.say(
            f"warning: that is more than {WORSE:.0%} worse; try {', '.join(remedies)}. Small "
            "models lose most"
        )
    console.say(
        f"{quantised.folder}: {params.bits} bits, groups of {quantised.group_size}, "
        f"{quantised.seconds:,.0f} s; next: deploy serve {quantised.folder}"
    )
