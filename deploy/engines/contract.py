"""What is served, and how an engine that serves it is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter."""

    name: str  # under which it answers
    folder: Path
    rank: int = 16
    template: str | None = None  # LLaMA-Factory's, that it was trained with, if that is known
    chat_template: str = ""  # the same in Jinja, if it has one of its own
    stop: tuple[int, ...] = ()  # ids that end its answers besides the model's own


@dataclass(frozen=True)
class Served:
    """A model and its adapters, as an engine gets them."""

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


@dataclass(frozen=True)
class Launch:
    """A program to be started; no secret is among its arguments."""

    arguments: tuple[str, ...]
    variables: Mapping[str, str]  # set in its environment
    url: str
    socket: Path | None = None  # that it listens on; None if `url` is to be connected to


@dataclass(frozen=True)
class Engine:
    """A program that answers."""

    name: str
    fields: frozenset[str]  # of a request, besides what every engine takes
    completions: bool  # whether it goes on with a bare text (/v1/completions)
    health: str  # the path that it answers with 200 when it is well
    tells_ends: bool  # whether its streams tell an answer that was cut off from one that ended
    parallel: int  # requests that it is given at once; others wait in front of it
    names: Callable[[Served], tuple[str, ...]]  # under which a model and its adapters answer
    launch: Callable[[Served, Path, str], Launch]  # from the model, a private folder, its key
    translate: Callable[[Served, dict[str, Any]], dict[str, Any]]  # a checked request
