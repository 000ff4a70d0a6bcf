"""What is typed for a training: the options of `train STAGE`, told once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

_DATASET = "Registered data set; several: A,B; else the newest that fits."
_MODEL = "A name of `curate models`, a directory, a run to go on from, or a hub id; else smollm2."
_PRESET = "The medical recipe, or one of minutes on a CPU; auto: by what trains."
_METHOD = "An adapter, one on 4 bits, or all weights."
_TEMPLATE = "LLaMA-Factory's; own: the tokenizer's; else the model's."
_YES = "Train though half of the rows lose their prompt or are cut."


@dataclass(frozen=True)
class Request:
    """What was typed; a field is an option, but the stage, which is the command."""

    stage: str
    dataset: Annotated[str | None, Option(metavar="NAME", help=_DATASET)] = None
    dataset_dir: Annotated[Path, Option(help="Folder of dataset_info.json.")] = Path("data")
    model: Annotated[str | None, Option(metavar="M", help=_MODEL)] = None
    reward: Annotated[
        Path | None, Option(metavar="DIR", help="Run of `train rm`; else the newest in saves.")
    ] = None
    output: Annotated[
        Path | None, Option(metavar="DIR", help="Folder of the run; else saves/DATASET_STAGE.")
    ] = None
    pairs: Annotated[
        list[str] | None,
        Option("--set", metavar="KEY=VALUE", help="Any key of LLaMA-Factory 0.9.5; wins."),
    ] = None
    preset: Annotated[str, Option(metavar="auto|tutorial|quick", help=_PRESET)] = "auto"
    method: Annotated[str, Option(metavar="lora|qlora|full", help=_METHOD)] = "lora"
    template: Annotated[str | None, Option(metavar="NAME", help=_TEMPLATE)] = None
    seed: Annotated[int, Option(help="For everything that is drawn.")] = 0
    dry_run: Annotated[
        bool, Option("--dry-run", help="Show the YAML and the command, start nothing.")
    ] = False
    resume: Annotated[bool, Option("--resume", help="Go on from the last checkpoint.")] = False
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the run in the folder.")] = False
    force: Annotated[
        bool, Option("--force", help="Try it though the memory seems to be too little.")
    ] = False
    yes: Annotated[bool, Option("--yes", help=_YES)] = False
