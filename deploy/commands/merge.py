"""`deploy merge`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console

if TYPE_CHECKING:
    from curate.models.protocols import Message
    from deploy.merging.merge import Merged

_ASKED = 5


def merge(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Folder of a run of `train`, or an adapter's."),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder to make.", show_default="RUN-merged")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The model the adapter was trained on, where it is not where it was.",
        ),
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(
            metavar="auto|float32|bfloat16|float16", help="Of the weights; auto: as the base."
        ),
    ] = "auto",
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="F",
            help="Compare on 5 prompts of this file, rather than on 5 that come with the program.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="End stdout with one JSON object.")
    ] = False,
) -> None:
    """Make one model of an adapter and its base, and see that it answers the same.

    LLaMA-Factory's export does it. Then greedy answers to 5 prompts are compared
    with those of the adapter, and the folder gets its name only if they agree.

    Example: deploy merge saves/huatuo_ifd
    """
    from deploy.merging import merge as merging
    from deploy.output import check_output, default_output
    from deploy.runs import read_adapter

    adapter = read_adapter(run, base)
    target = output or default_output(adapter.folder, "merged")
    check_output(target, 0)
    found = merging.merge(adapter, target, _asked(prompts), dtype, console.say)
    _show(found, as_json)


def _asked(prompts: Path | None) -> list[list[Message]]:
    from deploy.merging.agreement import BUILT_IN, conversations

    if prompts is None:
        return conversations(BUILT_IN)
    from deploy.compare.prompts import limited, prompts_of, read_rows

    found = limited(prompts_of(read_rows(prompts)), _ASKED, 0)
    return [[*each.messages] for each in found.prompts]


def _show(found: Merged, as_json: bool) -> None:
    agreement = found.agreement
    lines = [
        (each.prompt, each.merged, "same" if each.tie is None else f"tie ({each.tie:.3f} nats)")
        for each in agreement.answers
    ]
    goes_to = console.stderr() if as_json else console.stdout()
    console.show_table(lines, ("prompt", "merged model", "adapter"), goes_to)
    for each in found.repaired:
        console.say(f"repaired for older readers: {each}")
    if agreement.ties:
        console.say(
            f"note: {agreement.ties} answers part where two tokens are as good as equally likely: "
            f"rounding to {found.dtype} decides there. It changes the adapter's answers by "
            f"{agreement.lost:.3f} nats a token; the adapter has changed them by "
            f"{agreement.learned:.3f}"
        )
    if not agreement.changed:
        console.say(
            "note: the adapter changes none of these answers, so they prove little; compare on "
            "prompts of your own with --prompts F"
        )
    told = f"{agreement.same} of {len(agreement.answers)} answers are the adapter's"
    console.say(f"{found.folder}: {found.bytes / 1e6:,.0f} MB, {found.dtype}; {told}")
    console.say(f"next: deploy serve {found.folder}, or smaller: deploy quantize {found.folder}")
    if as_json:
        typer.echo(json.dumps(_plain(found), ensure_ascii=False))


def _plain(found: Merged) -> dict[str, Any]:
    agreement = found.agreement
    return {
        "folder": str(found.folder),
        "dtype": found.dtype,
        "bytes": found.bytes,
        "answers": len(agreement.answers),
        "same": agreement.same,
        "ties": agreement.ties,
        "changed_by_adapter": agreement.changed,
        "nats_lost": agreement.lost,
        "nats_learned": agreement.learned,
        "repaired": list(found.repaired),
    }
