"""`train estimate`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from train.memory.job import Job
    from train.memory.shape import ModelShape
    from train.planning.hardware import Hardware

_PARTS = ("weights", "reference", "gradients", "optimizer", "activations", "logits", "fixed")


def estimate(
    model: Annotated[
        str | None,
        typer.Option(help="A directory, a config.json, a hub id, or a name such as bloomz-7b1."),
    ] = None,
    params: Annotated[
        str | None,
        typer.Option(help="Instead of --model: its parameters.", metavar="7.1B|135M"),
    ] = None,
    stage: Annotated[str, typer.Option(metavar="pt|sft|rm|dpo|kto|ppo", help="Of training.")] = (
        "sft"
    ),
    method: Annotated[
        str, typer.Option(metavar="full|lora|qlora|all", help="How much of the model is trained.")
    ] = "all",
    precision: Annotated[
        str | None,
        typer.Option(metavar="bf16|fp16|fp32|pure_bf16", help="Default: those that are usual."),
    ] = None,
    cutoff_len: Annotated[int, typer.Option(help="Tokens of the longest sequence.")] = 1024,
    batch: Annotated[int, typer.Option(help="Samples a GPU takes at once.")] = 1,
    bits: Annotated[int, typer.Option(help="Of qlora's weights: 8, 4 or 2.")] = 4,
    lora_rank: Annotated[int, typer.Option(help="r of LoRA.")] = 8,
    lora_target: Annotated[
        str,
        typer.Option(help="Modules by commas, all, or auto: query_key_value for BLOOM, else all."),
    ] = "auto",
    optimizer: Annotated[
        str, typer.Option(metavar="adamw|adamw_8bit|adafactor|sgd", help="Its states count.")
    ] = "adamw",
    checkpointing: Annotated[
        bool, typer.Option(help="Compute activations again in the backward pass.")
    ] = True,
    flash: Annotated[bool, typer.Option(help="Attention that keeps no scores.")] = True,
    cards: Annotated[
        str, typer.Option(help="Sizes to look at, in GB by commas.", metavar="24,80")
    ] = "8,12,16,24,40,48,80",
    zero: Annotated[int, typer.Option(help="ZeRO stage of DeepSpeed, 0 to 3.")] = 0,
    gpus: Annotated[int, typer.Option(help="GPUs that share the work.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="End stdout with one JSON object.")
    ] = False,
) -> None:
    """Estimate the memory of training and running a model; nothing is loaded or fetched.

    Example: train estimate --model bloomz-7b1 --method full --cutoff-len 1024
    """
    from train.memory import explain
    from train.memory.job import METHODS, PRECISIONS, Job
    from train.planning.hardware import detect

    if method not in (*METHODS, "all"):
        hint = did_you_mean(method, (*METHODS, "all"))
        raise UsageError(f"--method {method}: allowed are {', '.join(METHODS)}, all.{hint}")
    if precision is not None and precision not in PRECISIONS:
        hint = did_you_mean(precision, PRECISIONS)
        raise UsageError(f"--precision {precision}: allowed are {', '.join(PRECISIONS)}.{hint}")
    if gpus > 1 and not zero:
        console.say("note: without --zero every GPU holds all of it; --zero 3 divides it")
    job = Job(
        stage=stage,
        method=method if method != "all" else "lora",
        cutoff_len=cutoff_len,
        batch=batch,
        bits=bits,
        rank=lora_rank,
        target=lora_target,
        optimizer=optimizer,
        checkpointing=checkpointing,
        flash=flash,
        zero=zero,
        gpus=gpus,
    )
    shape, origin = _shape(model, params)
    ways = explain.methods(job, None if method == "all" else method, precision)
    sizes, here = _sizes(cards), detect()
    _show(shape, origin, job, ways, sizes, here, as_json)
    if as_json:
        told = _told(shape, job, ways, sizes, here)
        typer.echo(json.dumps(told, ensure_ascii=False))


def _shape(model: str | None, params: str | None) -> tuple[ModelShape, str]:
    from train.memory import find
    from train.memory.shape import shape_of

    if (model is None) == (params is None):
        raise UsageError(
            "give either --model (a directory, a hub id, a name such as bloomz-7b1) or --params "
            "(a number such as 7.1B)"
        )
    if model is not None:
        return shape_of(find.config_of(model), model), ""
    count = find.count_of(params or "")
    shape, like = find.typical(count)
    return shape, (
        f"only the number of parameters is known: width, layers and a vocabulary of "
        f"{shape.vocabulary:,} are taken to be like {like}'s; --model counts its own"
    )


def _sizes(cards: str) -> list[float]:
    try:
        sizes = [float(each) for each in cards.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) <= 0:
        raise UsageError(f"--cards {cards}: allowed are sizes in GB by commas, such as 24,80")
    return sizes


def _show(
    shape: ModelShape,
    origin: str,
    job: Job,
    ways: list[tuple[str, Job]],
    sizes: list[float],
    here: Hardware,
    as_json: bool,
) -> None:
    from train.memory import explain
    from train.memory.estimate import adapter, estimate, inference

    found = {name: asdict(estimate(shape, each)) for name, each in ways}
    parts = [part for part in _PARTS if any(each[part] for each in found.values())]
    trained = adapter(shape, job)
    on = console.stderr() if as_json else console.stdout()

    def line(text: str) -> None:
        on.print(text, markup=False, soft_wrap=True)

    line(
        f"{shape.name}: {shape.parameters:,} parameters, {shape.layers} layers of width "
        f"{shape.hidden:,}, vocabulary {shape.vocabulary:,}"
    )
    if origin:
        line(f"note: {origin}")
    shared = f", ZeRO-{job.zero} over {job.gpus} GPUs" if job.zero else ""
    line(f"training: {job.stage}, {job.batch} x {job.cutoff_len:,} tokens{shared}; GiB on each GPU")
    table = [
        [
            name,
            *(explain.gib(each[part]) for part in parts),
            explain.gib(sum(each[part] for part in _PARTS)),
        ]
        for name, each in found.items()
    ]
    console.show_table(table, ("method", *parts, "total"), on)
    line("which card holds it (2x: two of them with ZeRO-3)")
    fitting = [
        [name, *(explain.fits(shape, each, size) for size in sizes)]
        + ["yes" if explain.fits_here(shape, each, here) else "-"]
        for name, each in ways
    ]
    has = f"{here.name} here ({explain.gib(here.memory)})"
    console.show_table(fitting, ("method", *(f"{size:g} GB" for size in sizes), has), on)
    weights, cache = inference(shape, job.batch * job.cutoff_len)
    line(
        f"answering in bf16: {explain.gib(weights)} GiB of weights and {explain.gib(cache)} GiB of "
        f"KV cache for {job.batch * job.cutoff_len:,} tokens"
    )
    line(f"lora trains {trained:,} parameters (rank {job.rank}, --lora-target)")
    told = (f"{name} {explain.gib(size)}" for name, size in explain.variants(shape, job).items())
    line(f"activations, GiB: {'; '.join(told)}")
    for each in explain.why(shape, job):
        line(each)


def _told(
    shape: ModelShape,
    job: Job,
    ways: list[tuple[str, Job]],
    sizes: list[float],
    here: Hardware,
) -> dict[str, Any]:
    from train.memory import explain
    from train.memory.estimate import adapter, estimate, inference

    weights, cache = inference(shape, job.batch * job.cutoff_len)
    found = [(name, each, estimate(shape, each)) for name, each in ways]
    return {
        "model": shape.name,
        "parameters": shape.parameters,
        "vocabulary": shape.vocabulary,
        "stage": job.stage,
        "cutoff_len": job.cutoff_len,
        "batch": job.batch,
        "methods": [
            {
                "name": name,
                "bytes": {part: round(asdict(parts)[part]) for part in _PARTS},
                "total": round(parts.total),
                "trainable": parts.trainable,
                "fits": {f"{size:g}": explain.fits(shape, each, size) for size in sizes},
                "fits_here": explain.fits_here(shape, each, here),
            }
            for name, each, parts in found
        ],
        "inference": {"weights": round(weights), "kv_cache": round(cache)},
        "lora_parameters": adapter(shape, job),
        "activations": {k: round(v) for k, v in explain.variants(shape, job).items()},
        "here": {"kind": here.kind, "count": here.count, "memory": here.memory},
    }
