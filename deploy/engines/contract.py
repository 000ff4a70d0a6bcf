"""What is served, and how an engine that serves it is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

_MODEL = "smollm2, a folder, hub id or ms://OWNER/NAME, an adapter, or a run of `train`."


@dataclass(frozen=True)
class ServeCall:
    model: Annotated[str, Argument(metavar="MODEL|RUN", help=_MODEL)]
    engine: Annotated[str, Option(help="auto (vLLM where it is installed), vllm, hf.")] = "auto"
    host: Annotated[str, Option(help="Any but this machine's own needs a key.")] = "127.0.0.1"
    port: Annotated[int, Option(help="0 takes any free one.")] = 8000
    api_key_env: Annotated[
        str | None, Option(metavar="NAME", help="Environment variable with the key to demand.")
    ] = None
    api_key_file: Annotated[Path | None, Option(help="File with the key to demand.")] = None
    adapter: Annotated[
        list[str] | None, Option(metavar="NAME=PATH", help="Answers beside the model; again.")
    ] = None
    dtype: Annotated[str, Option(help="auto, float32, bfloat16, float16.")] = "auto"
    max_length: Annotated[
        int | None,
        Option(help="Tokens, answer included.", show_default="the model's; on a CPU at most 8192"),
    ] = None
    stop_timeout: Annotated[float, Option(help="Seconds from Ctrl-C to the end of all.")] = 30.0


@dataclass(frozen=True)
class Adapter:
    name: str  # under which it answers
    folder: Path
    rank: int = 16
    template: str | None = None  # LLaMA-Factory's, that it was trained with, if that is known
    chat_template: str = ""  # the same in Jinja, if it has one of its own
    stop: tuple[int, ...] = ()  # ids that end its answers besides the model's own


@dataclass(frozen=True)
class Served:
    name: str  # under which the model answers; each adapter answers under its own
    folder: Path
    adapters: tuple[Adapter, ...]
    template: str | None  # LLaMA-Factory's; None to take the tokenizer's own apart
    chat_template: str  # the same in Jinja; never empty
    config: Mapping[str, Any]
    context: int  # tokens that prompt and answer may have together
    dtype: str
    gpu: bool
    sampling: Mapping[str, float] = field(default_factory=dict)  # as its authors recommend
    opening: str = ""  # that the plain template lacks, and the tokenizer writes before texts


@dataclass(frozen=True)
class Launch:
    """A program to be started; no secret is among its arguments."""

    arguments: tuple[str, ...]
    variables: Mapping[str, str]  # set in its environment
    url: str
    socket: Path | None = None  # that it listens on; None if `url` is to be connected to


@dataclass(frozen=True)
class Engine:
    name: str
    fields: frozenset[str]  # of a request, besides what every engine takes
    completions: bool  # whether it goes on with a bare text (/v1/completions)
    health: str  # the path that it answers with 200 when it is well
    tells_ends: bool  # whether its streams tell an answer that was cut off from one that ended
    parallel: int  # requests that it is given at once; others wait in front of it
    names: Callable[[Served], tuple[str, ...]]  # under which a model and its adapters answer
    launch: Callable[[Served, Path, str], Launch]  # from the model, a private folder, its key
    translate: Callable[[Served, dict[str, Any]], dict[str, Any]]  # a checked request
    # Why a request that is valid cannot be answered; '' if it can.
    refusal: Callable[[Served, Mapping[str, Any]], str] = lambda served, fields: ""
