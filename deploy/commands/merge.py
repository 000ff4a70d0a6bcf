"""`deploy merge`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from curate import console

if TYPE_CHECKING:
    from curate.models.protocols import Message
    from deploy.merging.merge import Merged

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
    merged = merging.merge(adapter, target, _asked(prompts), dtype, console.say)
    _show(merged, as_json)


def _asked(prompts: Path | None) -> list[list[Message]]:
    from deploy.compare.prompts import limited, prompts_of, read_rows
    from deploy.merging.agreement import BUILT_IN

    if prompts is None:
        return BUILT_IN
    asked = limited(prompts_of(read_rows(prompts)), _ASKED, 0)
    return [[*prompt.messages] for prompt in asked.prompts]


def _show(merged: Merged, as_json: bool) -> None:
    agreement = merged.agreement
    gaps = ("same" if a.gap is None else f"tie ({a.gap:.3f} nats)" for a in agreement.answers)
    lines = [(a.prompt, a.merged, gap) for a, gap in zip(agreement.answers, gaps, strict=True)]
    goes_to = console.stderr() if as_json else console.stdout()
    console.show_table(lines, ("prompt", "merged model", "adapter"), goes_to)
    for name in merged.repaired:
        console.say(f"repaired for older readers: {name}")
    if agreement.ties:
        console.say(
            f"note: {agreement.ties} answers part where two tokens are as good as equally likely: "
            f"rounding to {merged.dtype} decides there. It changes the adapter's answers by "
            f"{agreement.lost:.3f} nats a token; the adapter has changed them by "
            f"{agreement.learned:.3f}"
        )
    if not agreement.changed:
        own = "compare on prompts of your own with --prompts F"
        console.say(f"note: the adapter changes none of these answers; {own}")
    same = f"{agreement.same} of {len(agreement.answers)} answers are the adapter's"
    size = f"{merged.bytes / 1e6:,.0f} MB, {merged.dtype}"
    console.say(f"{merged.folder}: {size}; {same}")
    console.say(f"next: deploy serve {merged.folder}, or smaller: deploy quantize {merged.folder}")
    if as_json:
        report = {"folder": str(merged.folder), "dtype": merged.dtype, "bytes": merged.bytes}
        report |= {**agreement.as_dict(), "repaired": merged.repaired}
        typer.echo(json.dumps(report, ensure_ascii=False))
