"""`deploy merge`, `quantize` and `serve`: models made, and answering; and `deploy setup`."""

from __future__ import annotations

import math
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from curate import console
from curate.errors import UsageError, did_you_mean
from curate.system.keys import read_key
from deploy.engines.contract import ServeCall
from deploy.quantizing.calibration import QuantiseParams

if TYPE_CHECKING:
    from deploy.merging.agreement import Agreement


def merge(
    run: Annotated[Path, Argument(metavar="RUN", help="Folder of a run, or of an adapter.")],
    output: Annotated[Path | None, Option(help="New folder.", show_default="RUN-merged")] = None,
    base: Annotated[
        str | None, Option(metavar="MODEL", help="What it was trained on, where that has moved.")
    ] = None,
    dtype: Annotated[str, Option(help="auto, float32, bfloat16, float16.")] = "auto",
    as_json: Annotated[bool, Option("--json", help="End stdout with one JSON object.")] = False,
) -> None:
    """Make one model of an adapter and its base, and see that it answers the same.

    LLaMA-Factory's export does it. Then greedy answers to 5 prompts are compared
    with those of the adapter, and the folder gets its name only if they agree.

    Example: deploy merge saves/huatuo_ifd
    """
    from deploy.merging import merge as merging
    from deploy.merging.merge import read_adapter
    from deploy.output import check_output, default_output

    adapter = read_adapter(run, base)
    target = output or default_output(adapter.folder, "merged")
    check_output(target, 0)
    agreement, result = merging.merge(adapter, target, dtype, console.say)
    _show(agreement, result)
    console.answer(result)


def quantize(
    model: Annotated[str, Argument(metavar="MODEL", help="A merged model, name, folder, hub id.")],
    params: QuantiseParams,
    output: Annotated[Path | None, Option(help="New folder.", show_default="MODEL-4bit")] = None,
    dataset: Annotated[
        str | None, Option(help="Its rows are looked at.", show_default="what it was trained on")
    ] = None,
    dataset_dir: Annotated[
        Path | None, Option(help="Of dataset_info.json.", show_default="the run's, else data")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="End stdout with one JSON object.")] = False,
) -> None:
    """Make a model smaller by GPTQ, and measure what that costs.

    GPTQModel does it, in the environment that `deploy setup gptq` builds. Rows
    that quantising does not look at tell the perplexity before and after.

    Example: deploy quantize saves/huatuo_ifd-merged --bits 4
    """
    from deploy.quantizing.quantize import GROUPS, WORSE, quantise

    result = quantise(model, params, output, dataset, dataset_dir, console.say)
    bits, columns, group = params.bits, (result["before"], result["after"]), result["group_size"]
    lines = [
        ("weights", *(f"{column['bytes'] / 1e6:,.0f} MB" for column in columns)),
        ("perplexity", *(f"{column['perplexity']:.3f}" for column in columns)),
        ("answer", *(column["answer"] for column in columns)),
    ]
    console.show_table(lines, ("", "before", f"{bits} bits"))
    console.say(f"asked: {' '.join(result['question'].split())}")
    console.say(
        f"perplexity {result['worse']:+.1%} over the {columns[0]['tokens']:,} response tokens of "
        f"{result['held_out_rows']:,} rows that it was not quantised with"
    )
    if result["warning"]:
        remedies = ["--bits 8"] if bits == 4 else []
        remedies += [f"--group-size {n}" for n in GROUPS if n < group][:1]
        remedies += ["or more rows like those it will be asked (--rows, --dataset)"]
        console.say(
            f"warning: that is more than {WORSE:.0%} worse; try {', '.join(remedies)}. Small "
            "models lose most"
        )
    console.say(
        f"{result['folder']}: {bits} bits, groups of {group}, {result['seconds']:,.0f} s; next: "
        f"deploy serve {shlex.quote(str(result['folder']))}"
    )
    console.answer(result)


def serve(
    call: ServeCall,
    print_compose: Annotated[bool, Option("--print-compose", help="Print a Compose file.")] = False,
    print_systemd: Annotated[bool, Option("--print-systemd", help="Print a systemd unit.")] = False,
    as_json: Annotated[bool, Option("--json", help="Say in JSON when it is ready.")] = False,
) -> None:
    """Answer questions over OpenAI's interface.

    Ready once the engine answers as transformers does. There is /v1/models,
    /v1/chat/completions, /health, and with vLLM /v1/completions. Ctrl-C ends it.

    Example: deploy serve smollm2 --port 8000
    """
    from deploy.serving.serve import Up
    from deploy.serving.serve import serve as run
    from deploy.serving.served_model import MAKE, check_host, choose, served

    if not 0 < call.stop_timeout < math.inf:
        raise UsageError(f"--stop-timeout {call.stop_timeout:g}: give seconds above 0")
    if print_compose or print_systemd:
        from deploy.serving.systemd_and_compose import compose, systemd

        if print_compose and print_systemd:
            raise UsageError("--print-compose and --print-systemd: give one of them")
        typer.echo(compose(call) if print_compose else systemd(call), nl=False)
        return
    key = read_key(call.api_key_env, call.api_key_file, MAKE)
    check_host(call.host, key, console.say)

    def tell(up: Up) -> None:
        console.say(
            f"ready after {up.seconds:.0f} s: {up.url}/v1 answers as {', '.join(up.models)} "
            f"(engine {up.engine}); Ctrl-C stops it. Try: deploy ask "
            '"What is the capital of France?"'
            + ("" if up.url.endswith(":8000") else f" --url {up.url}")
            + (f" --api-key-env {call.api_key_env}" if call.api_key_env else "")
        )
        console.answer(asdict(up))

    model_files = served(call, console.say)
    run(call, model_files, choose(call.engine, model_files), key, console.say, tell)
    console.say("stopped")


def setup(
    name: Annotated[str, Argument(metavar="vllm|gptq|eval", help="What to install.")],
    dry_run: Annotated[bool, Option("--dry-run", help="Print the commands; run nothing.")] = False,
    as_json: Annotated[bool, Option("--json", help="End stdout with one JSON object.")] = False,
) -> None:
    """Build the environment of vLLM, GPTQ or lm-evaluation-harness in the cache folder.

    vLLM and GPTQ exclude the versions that training needs, so each gets its own,
    some gigabytes large; the harness adds what is missing to what is here. In
    the end it is tried whether it can be imported.

    Example: deploy setup gptq
    """
    from curate.system import environments
    from deploy.engines import vllm
    from deploy.exam import harness
    from deploy.quantizing import gptq

    known = {"vllm": vllm.environment, "gptq": gptq.environment, "eval": harness.environment}
    if name not in known:
        near = did_you_mean(name, known)
        allowed = f"Allowed are {', '.join(known)}"
        raise UsageError(f"deploy setup {name}: no such environment.{near} {allowed}")
    wanted = known[name]()
    place = environments.folder(wanted)
    there = environments.python(wanted) is not None
    began = time.monotonic()
    if dry_run:
        typer.echo(f"# {wanted.purpose}: {place}, about {wanted.gigabytes:g} GB", err=as_json)
        for key, value in wanted.variables.items():
            typer.echo(f"export {key}={shlex.quote(value)}", err=as_json)
        for command in environments.commands(wanted):
            typer.echo(shlex.join(command), err=as_json)
    elif there:
        console.say(f"{name} is built already: {place}. To build it anew, remove that folder")
    else:
        console.say(f"building {name} ({wanted.purpose}): about {wanted.gigabytes:g} GB in {place}")
        environments.build(wanted, console.say)
        console.say(f"{name} is ready after {time.monotonic() - began:,.0f} s: {place}")
    built = environments.python(wanted) is not None
    console.answer({"name": name, "folder": place, "built": built, "new": built and not there})


def _show(agreement: Agreement, result: dict[str, Any]) -> None:
    gaps = ("same" if a.gap is None else f"tie ({a.gap:.3f} nats)" for a in agreement.answers)
    lines = [(a.prompt, a.merged, gap) for a, gap in zip(agreement.answers, gaps, strict=True)]
    console.show_table(lines, ("prompt", "merged model", "adapter"))
    for name in result["repaired"]:
        console.say(f"repaired for older readers: {name}")
    if agreement.ties:
        console.say(
            f"note: {agreement.ties} of {len(agreement.answers)} answers part where two tokens are "
            f"all but equally likely: rounding to {result['dtype']} decides there"
        )
    if not agreement.changed:
        console.say("note: the adapter changes none of these answers, so they prove little")
    same = f"{agreement.same} of {len(agreement.answers)} answers are the adapter's"
    console.say(f"{result['folder']}: {result['bytes'] / 1e6:,.0f} MB, {result['dtype']}; {same}")
    typed = shlex.quote(str(result["folder"]))
    console.say(f"next: deploy serve {typed}, or smaller: deploy quantize {typed}")
