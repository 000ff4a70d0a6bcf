"""What is served, and how an engine that serves it is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter.

    Attributes:
        name: Under which it answers.
        folder: Its files.
        rank: Of its matrices.
        template: LLaMA-Factory's template it was trained with; None if that is not known.
        chat_template: The same in Jinja; '' if it has none of its own.
        stop: Ids that end its answers besides the model's own.
    """

    name: str
    folder: Path
    rank: int = 16
    template: str | None = None
    chat_template: str = ""
    stop: tuple[int, ...] = ()


@dataclass(frozen=True)
class Served:
    """A model and its adapters, as an engine gets them.

    Attributes:
        name: Under which the model answers.
        folder: The model's files.
        adapters: Each answers under its own name.
        template: LLaMA-Factory's template; None to take the tokenizer's own apart.
        chat_template: The same in Jinja; never empty.
        config: The model's config.json.
        context: Tokens that prompt and answer may have together.
        dtype: That the engine computes in.
        gpu: Whether it computes on one.
    """

    name: str
    folder: Path
    adapters: tuple[Adapter, ...]
    template: str | None
    chat_template: str
    config: Mapping[str, Any]
    context: int
    dtype: str
    gpu: bool


@dataclass(frozen=True)
class Launch:
    """A program to be started.

    Attributes:
        arguments: The program and what it is given; no secret is among them.
        variables: Set in its environment.
        url: Where it will answer.
        socket: The unix socket that it listens on; None if `url` is to be connected to.
    """

    arguments: tuple[str, ...]
    variables: Mapping[str, str]
    url: str
    socket: Path | None = None


@dataclass(frozen=True)
class Engine:
    """A program that answers.

    Attributes:
        name: `hf` or `vllm`.
        fields: Of a request, what it takes besides what every engine takes.
        completions: Whether it goes on with a bare text (/v1/completions).
        health: What it answers with 200 when it is well.
        tells_ends: Whether its streams tell an answer that was cut off from one that ended.
        parallel: Requests that it is given at once; others wait in front of it.
        names: Under which names a model and its adapters answer.
        launch: How it is started: the model, a private folder, the key it has to demand.
        translate: A checked request in its own words, for what is served.
    """

    name: str
    fields: frozenset[str]
    completions: bool
    health: str
    tells_ends: bool
    parallel: int
    names: Callable[[Served], tuple[str, ...]]
    launch: Callable[[Served, Path, str], Launch]
    translate: Callable[[Served, dict[str, Any]], dict[str, Any]]
