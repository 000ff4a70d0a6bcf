"""`deploy merge` and `deploy quantize`: one model made of another."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from curate import console
from deploy.quantizing.calibration import QuantiseParams

if TYPE_CHECKING:
    from curate.models.protocols import Message
    from deploy.merging.agreement import Agreement

_ASKED = 5


def merge(
    run: Annotated[Path, Argument(metavar="RUN", help="Folder of a run, or of an adapter.")],
    output: Annotated[Path | None, Option(help="New folder.", show_default="RUN-merged")] = None,
    base: Annotated[
        str | None, Option(metavar="MODEL", help="What it was trained on, where that has moved.")
    ] = None,
    dtype: Annotated[str, Option(help="auto, float32, bfloat16, float16.")] = "auto",
    prompts: Annotated[
        Path | None, Option(metavar="F", help="Compare on 5 prompts of this file, not our own.")
    ] = None,
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
    agreement, told = merging.merge(adapter, target, _asked(prompts), dtype, console.say)
    _show(agreement, told)
    console.answer(told)


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

    GPTQModel does it, in the environment that `deploy setup gptq` builds. Rows that
    quantising does not look at tell the perplexity before and after.

    Example: deploy quantize saves/huatuo_ifd-merged --bits 4
    """
    from deploy.quantizing.quantize import GROUPS, WORSE, quantise

    told = quantise(model, params, output, dataset, dataset_dir, console.say)
    bits, columns, group = params.bits, (told["before"], told["after"]), told["group_size"]
    lines = [
        ("weights", *(f"{column['bytes'] / 1e6:,.0f} MB" for column in columns)),
        ("perplexity", *(f"{column['perplexity']:.3f}" for column in columns)),
        ("answer", *(column["answer"] for column in columns)),
    ]
    console.show_table(lines, ("", "before", f"{bits} bits"))
    console.say(f"asked: {' '.join(told['question'].split())}")
    console.say(
        f"perplexity {told['worse']:+.1%} over the {columns[0]['tokens']:,} response tokens of "
        f"{told['held_out_rows']:,} rows that it was not quantised with"
    )
    if told["warning"]:
        remedies = ["--bits 8"] if bits == 4 else []
        remedies += [f"--group-size {n}" for n in GROUPS if n < group][:1]
        remedies += ["or more rows like those it will be asked (--rows, --dataset)"]
        console.say(
            f"warning: that is more than {WORSE:.0%} worse; try {', '.join(remedies)}. Small "
            "models lose most"
        )
    console.say(
        f"{told['folder']}: {bits} bits, groups of {group}, {told['seconds']:,.0f} s; next: "
        f"deploy serve {shlex.quote(str(told['folder']))}"
    )
    console.answer(told)


def _asked(prompts: Path | None) -> list[list[Message]]:
    from deploy.compare.prompts import limited, prompts_of, read_rows
    from deploy.merging.agreement import BUILT_IN

    if prompts is None:
        return BUILT_IN
    asked = limited(prompts_of(read_rows(prompts)), _ASKED, 0)
    return [[*prompt.messages] for prompt in asked.prompts]


def _show(agreement: Agreement, told: dict[str, Any]) -> None:
    gaps = ("same" if a.gap is None else f"tie ({a.gap:.3f} nats)" for a in agreement.answers)
    lines = [(a.prompt, a.merged, gap) for a, gap in zip(agreement.answers, gaps, strict=True)]
    console.show_table(lines, ("prompt", "merged model", "adapter"))
    for name in told["repaired"]:
        console.say(f"repaired for older readers: {name}")
    if agreement.ties:
        console.say(
            f"note: {agreement.ties} answers part where two tokens are as good as equally likely: "
            f"rounding to {told['dtype']} decides there. It changes the adapter's answers by "
            f"{agreement.lost:.3f} nats a token; the adapter has changed them by "
            f"{agreement.learned:.3f}"
        )
    if not agreement.changed:
        own = "compare on prompts of your own with --prompts F"
        console.say(f"note: the adapter changes none of these answers; {own}")
    same = f"{agreement.same} of {len(agreement.answers)} answers are the adapter's"
    console.say(f"{told['folder']}: {told['bytes'] / 1e6:,.0f} MB, {told['dtype']}; {same}")
    typed = shlex.quote(str(told["folder"]))
    console.say(f"next: deploy serve {typed}, or smaller: deploy quantize {typed}")
