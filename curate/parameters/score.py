"""Parameters of scoring: which scorers, and the models that they ask."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from curate.errors import UsageError, did_you_mean
from curate.parameters.car import RANKERS
from curate.parameters.ifd import DTYPES, TEMPLATES
from curate.parameters.option import check, filled_in, flag, limit, option, trust_remote_code


@dataclass(frozen=True)
class ScoreParams:
    """Which scorers, and with what models. None is the default of each."""

    scorer: tuple[str, ...] = option(
        (),
        "complexity, ifd, length, pairs, quality or reward; may be given several times.",
        metavar="NAME",
        positional=True,
    )
    model: str | None = option(
        None,
        "ifd, complexity, quality, pairs: a name of `curate models`, a directory, a hub id or "
        "ms://OWNER/NAME.",
        shown="smollm2; pairs: none, no implicit gap",
    )
    dtype: str | None = option(
        None,
        "Of --model; auto: bfloat16 where it is fast.",
        allowed=DTYPES,
        shown="auto",
    )
    trust_remote_code: bool = trust_remote_code()
    reward: str | None = option(None, f"reward, pairs: {RANKERS}", shown="pairs")
    template: str | None = option(
        None, "ifd, pairs: how a row becomes text.", allowed=TEMPLATES, shown="auto"
    )
    max_length: int | None = option(
        None,
        "ifd, complexity, quality, pairs: tokens of a row; longer rows are not scored.",
        shown="1024; others than ifd: 2048",
    )
    limit: int | None = limit()
    seed: int = filled_in(0)  # scorers draw nothing; of a first look

    def __post_init__(self) -> None:
        known = scorers()
        names = tuple(name for each in self.scorer for name in each.split(","))
        object.__setattr__(self, "scorer", names)
        if not self.scorer:
            about = "; ".join(f"{name}: {module.ABOUT}" for name, module in known.items())
            raise UsageError(f"no scorer: give --scorer NAME. There are {about}")
        for name in self.scorer:
            if name not in known:
                raise UsageError(
                    f"no scorer '{name}'.{did_you_mean(name, known)} There are "
                    f"{', '.join(known)}; of several, each comes after a --scorer of its own"
                )
        check(self)
        if len(set(self.scorer)) < len(self.scorer):
            raise UsageError(f"--scorer {' '.join(self.scorer)}: the same one twice")
        for field in fields(self)[1:]:
            option_, typed = field.name, getattr(self, field.name) != field.default
            if typed and not any(option_ in taken(each) for each in self.scorer):
                takers = [name for name in known if option_ in taken(name)]
                raise UsageError(
                    f"{flag(option_)} is an option of --scorer "
                    f"{' or '.join(takers)}, not of {' and '.join(self.scorer)}; leave it out"
                )


@cache
def scorers() -> dict[str, Any]:
    """Return all scorers by name: modules of NAME, ABOUT, NEEDS, MAIN, PARAMS and score()."""
    import curate.scorers as package

    modules = (
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    )
    return {module.NAME: module for module in modules if hasattr(module, "NEEDS")}


def taken(scorer: str) -> tuple[str, ...]:
    """Return the options that a scorer takes: of what it is handed, and of its own parameters."""
    from curate.scorers.contract import LANGUAGE_MODEL, PAIRS, REWARD

    module = scorers()[scorer]
    language_model, reward = ("model", "dtype", "trust_remote_code"), ("reward",)
    of_models = {LANGUAGE_MODEL: language_model, REWARD: reward, PAIRS: language_model + reward}
    offered = {field.name for field in fields(ScoreParams)}
    own = (field.name for field in fields(module.PARAMS) if field.name in offered)
    return (*of_models.get(module.NEEDS, ()), *own, "limit")
