"""The rules: what each is called, what it does to rows, and what to do about it."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Effect = Literal["stops", "dropped", "lost", "note"]


@dataclass(frozen=True)
class Rule:
    """What a finding means: its effect, what happens in one sentence, what to do about it."""

    effect: Effect
    says: str
    do: str


class Ends(Exception):
    """What ends LLaMA-Factory."""

    def __init__(self, rule: str, said: str) -> None:
        super().__init__(rule, said)
        self.rule, self.said = rule, said


@functools.cache
def rules() -> dict[str, Rule]:
    """Return the rules by name."""
    by_effect = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {
        name: Rule(effect, says, do)  # type: ignore[arg-type]
        for effect, named in by_effect.items()
        for name, (says, do) in named.items()
    }


def rule_named(name: str) -> Rule:
    """Return a rule; those of lost columns are made for the column."""
    if name in rules():
        return rules()[name]
    column = name.removeprefix("lost_")
    return Rule(
        "lost",
        f"the file has something for `{column}`, and the entry does not name it: it is not read.",
        f"name it under `columns` as {column}",
    )
