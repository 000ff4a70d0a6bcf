"""What a rule is, and what ends LLaMA-Factory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# stops: LLaMA-Factory ends before it trains. dropped: the row is left out, with a warning at best.
# lost: the row is trained on without something that stands in it, or with something that does not.
Effect = Literal["stops", "dropped", "lost", "note"]


@dataclass(frozen=True)
class Rule:
    """What a finding means.

    Attributes:
        effect: What it does.
        says: What happens, in one sentence.
        do: What to do about it.
    """

    effect: Effect
    says: str
    do: str


class Ends(Exception):
    """What ends LLaMA-Factory.

    Attributes:
        rule: Name in RULES.
        said: What it says itself, or what is wrong in particular.
    """

    def __init__(self, rule: str, said: str) -> None:
        super().__init__(rule, said)
        self.rule, self.said = rule, said
