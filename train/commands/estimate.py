"""`train estimate`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from curate import console
from curate.commands.options import AsJson
from curate.commands.with_options import with_options
from curate.errors import UsageError, check_one_of
from curate.parameters.option import option
from curate.system.files import at_home
from curate.system.hardware import detect
from train.config.model import BUNDLED
from train.memory import estimate as memory
from train.memory.estimate import Job
from train.memory.model_shape import ModelShape, config_of, shape_of, stored_bytes, typical

_SIZE = re.compile(r"\s*\d+(\.\d+)?\s*")


@with_options
def estimate(
    *,
    model: str | None = option(None, "Folder, config.json, hub id or known name."),
    params: str | None = option(None, "Its parameters instead: 7.1B, 135M."),
    method: str = option("all", "full, lora, qlora or all."),
    precision: str | None = option(None, "bf16, fp16, fp32 or pure_bf16."),
    job: Job,
    cards: str = option("8,12,16,24,40,48,80", "GPU sizes in GB, by commas."),
    as_json: AsJson = False,
) -> None:
    """Estimate the memory of training and running a model; nothing is loaded or fetched.

    Example: train estimate --model bloomz-7b1 --method full --cutoff-len 1024
    """
    check_one_of("--method", method, (*memory.METHODS, "all"))
    if job.gpus > 1 and not job.zero:
        console.say("note: without --zero every GPU holds all of it; --zero 3 divides it")
    chosen = method if method != "all" else "lora"
    job = replace(job, method=chosen, precision=precision or job.precision)
    shape, note = _shape(model, params)
    if model is not None:
        folder = None if model in BUNDLED else at_home(model)
        job = replace(job, stored=stored_bytes(config_of(model), folder))
    ways = memory.methods(job, None if method == "all" else method, precision)
    report = _report(shape, job, ways, cards)
    _show(shape, note, job, report)
    console.answer(report)


def _shape(model: str | None, params: str | None) -> tuple[ModelShape, str]:
    if (model is None) == (params is None):
        raise UsageError(
            "give either --model (a directory, a hub id, a name such as bloomz-7b1) or --params "
            "(a number such as 7.1B)"
        )
    if model is not None:
        return shape_of(config_of(model), model), ""
    shape, like = typical(params or "")
    return shape, (
        f"\nnote: only the number of parameters is known: width, layers and a vocabulary of "
        f"{shape.vocabulary:,} are taken to be like {like}'s; --model counts its own"
    )


def _report(shape: ModelShape, job: Job, ways: list[tuple[str, Job]], cards: str) -> dict[str, Any]:
    """Return the object that --json prints; the tables show the same."""
    sizes = [float(size) if _SIZE.fullmatch(size) else 0.0 for size in cards.split(",")]
    if not min(sizes):
        raise UsageError(f"--cards {cards}: allowed are sizes in GB by commas, such as 24,80")
    here = detect()
    weights, cache = memory.inference(shape, job.batch * job.cutoff_len)
    return {
        "model": shape.name,
        "parameters": shape.parameters,
        "vocabulary": shape.vocabulary,
        **{name: getattr(job, name) for name in ("stage", "cutoff_len", "batch")},
        "methods": [
            {
                "name": name,
                "bytes": {part: round(size) for part, size in memory.estimate(shape, way).items()},
                "total": round(whole := memory.total(shape, way)),
                "trainable": memory.trainable(shape, way),
                "fits": {f"{gb:g}": "yes" if whole <= gb * memory.GIB else "-" for gb in sizes},
                "fits_here": memory.fits_here(shape, way, here),
            }
            for name, way in ways
        ],
        "inference": {"weights": round(weights), "kv_cache": round(cache)},
        "lora_parameters": memory.trainable(shape, replace(job, method="lora")),
        "here": {"kind": here.kind, "count": here.count, "memory": here.memory},
    }


def _show(shape: ModelShape, note: str, job: Job, report: dict[str, Any]) -> None:
    on = console.stdout()
    ways, here, answering = report["methods"], report["here"], report["inference"]
    tokens, rank = job.batch * job.cutoff_len, job.lora_rank
    shared = f", ZeRO-{job.zero} over {job.gpus} GPUs" if job.zero else ""
    on.print(
        f"{shape.name}: {shape.parameters:,} parameters, {shape.layers} layers of width "
        f"{shape.hidden:,}, vocabulary {shape.vocabulary:,}{note}\ntraining: {job.stage}, "
        f"{job.batch} x {job.cutoff_len:,} tokens{shared}; GiB on each GPU",
        markup=False,
        soft_wrap=True,
    )
    parts = [part for part in ways[0]["bytes"] if any(way["bytes"][part] for way in ways)]
    table = [
        [way["name"], *(_gib(way["bytes"][part]) for part in parts), _gib(way["total"])]
        for way in ways
    ]
    console.show_table(table, ("method", *parts, "total"))
    on.print("which card holds it (of several: --zero 3 --gpus N)", soft_wrap=True)
    kind = "CPU" if here["kind"] == "cpu" else "GPU"
    number = f"{here['count']} {kind}s" if here["count"] > 1 else kind
    cards = (*(f"{size} GB" for size in ways[0]["fits"]), f"{number} here ({_gib(here['memory'])})")
    fitting = [
        [way["name"], *way["fits"].values(), "yes" if way["fits_here"] else "-"] for way in ways
    ]
    console.show_table(fitting, ("method", *cards))
    on.print(
        f"answering in bf16: {_gib(answering['weights'])} GiB of weights and "
        f"{_gib(answering['kv_cache'])} GiB of KV cache for {tokens:,} tokens\n"
        f"lora trains {report['lora_parameters']:,} parameters (rank {rank}, --lora-target)\n"
        "full training takes 4 to 5 times inference where weights, gradients and AdamW's states "
        "have one precision: 16 B for 4 in fp32 (and in pure_bf16 of files in float32), 8 for 2 in "
        "pure_bf16; in mixed bf16, with fp32 gradients, masters and states, it takes 18 B for 2, 9 "
        "times",
        markup=False,
        soft_wrap=True,
    )


def _gib(number: float) -> str:
    """Return bytes in GiB: two places below 10, one above."""
    value = number / 1024**3
    return f"{value:,.2f}" if value < 10 else f"{value:,.1f}"
