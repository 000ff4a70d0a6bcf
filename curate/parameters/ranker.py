"""Parameters of training a ranker, and of judging one."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError
from curate.parameters.car import ENCODERS, RANKERS
from curate.parameters.option import option, seed


@dataclass(frozen=True, kw_only=True)
class RankerParams:
    """What a head is made of."""

    encoder: str = option("use", ENCODERS)
    hold_out: float = option(0.2, "Share of the prompts that only judge, at most 0.5.")
    spoiled: float = option(
        0.15,
        "What a pair counts whose worse response is spoiled on purpose: no answer, a loop, an "
        "echo, a response to another prompt. 0 for none.",
    )
    seed: int = seed()

    def __post_init__(self) -> None:
        if not 0 <= self.spoiled <= 1:
            raise UsageError(f"--spoiled {self.spoiled}: allowed is 0 (none) to 1 (as a file's)")
        if not 0 < self.hold_out <= 0.5:
            raise UsageError(f"--hold-out {self.hold_out}: allowed is above 0, and 0.5 at most")


@dataclass(frozen=True, kw_only=True)
class JudgeParams:
    """Who is judged."""

    ranker: str = option("pairs", RANKERS)
    seed: int = seed()
