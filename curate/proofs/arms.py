"""What is trained on in each arm: one choice an arm, or one a repeat where chance chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from curate.choices.emitting import emit
from curate.choices.selection import Selection
from curate.console import say
from curate.data.describe import counted
from curate.data.read import read
from curate.data.rows import Rows
from curate.errors import UsageError
from curate.mixture.mixed import Mixed
from curate.parameters.budget import parse_budget
from curate.parameters.car import CarParams
from curate.parameters.ifd import IFDParams
from curate.parameters.mix import MixParams
from curate.parameters.mods import ModsParams
from curate.parameters.prove import BASE, LIKE, RANDOM, RANDOM_TOKENS, ProveParams
from curate.parameters.select import SelectParams
from curate.parameters.split import DecontaminateParams
from curate.recipes import car, ifd, mods
from curate.recipes.decontaminate import decontaminate
from curate.recipes.like import QuestionSets
from curate.recipes.mix import mix, mixture_of, one
from curate.recipes.select import select

# Tokens that differ by less are one budget, and have one control.
_AGREE = 0.05


@dataclass(frozen=True)
class Place:
    data: Path  # of the data sets of the arms
    saves: Path  # of the trained models
    name: str  # what all their names begin with

    def kept(self, chosen: Selection | Mixed, name: str) -> Rows:
        """Return the rows that are kept, as they are written there."""
        emit(chosen, self.data, f"{self.name}_{name}", overwrite=True)
        return read(dataset=f"{self.name}_{name}", dataset_dir=self.data)


@dataclass(frozen=True)
class Arm:
    """What one model is trained on, as often as there are repeats."""

    name: str  # as `--arms` has it; a control's has that of the arm behind it
    # One for every repeat; several times the same where nothing is drawn. None: base
    choices: tuple[Selection, ...] = ()
    # Arm of random rows with as many tokens that it is tested against, '' for those themselves;
    # what is mixed with general rows stands against the arm without
    control: str = ""

    @property
    def chose(self) -> bool:
        """Whether its rows are its own choice, not another arm's mixed with general ones."""
        return bool(self.choices) and (not self.control or self.control.startswith(RANDOM))

    @property
    def tested(self) -> bool:
        """Whether it is a choice that has to beat random rows."""
        return self.chose and self.name != RANDOM and bool(self.control)

    @property
    def tokens(self) -> int:
        """Tokens of responses, of the first choice."""
        summary = self.choices[0].summary().tokens if self.choices else None
        return int(summary["kept"]) if summary else 0

    @property
    def ids(self) -> list[str]:
        """Ids of the rows of the first choice, in their order."""
        if not self.choices:
            return []
        return [str(id_) for id_ in self.choices[0].rows.ids[self.choices[0].choice.kept]]

    @property
    def rows(self) -> int:
        return self.choices[0].summary().kept if self.choices else 0


def named_arms(params: ProveParams, like: QuestionSets) -> tuple[str, ...]:
    """Return what chooses, without base and the random arms."""
    named = params.named or ("longest", "clusters", *((LIKE,) if like else ()), "ifd")
    if LIKE in named and not like:
        raise UsageError("--arms like: give --like FILE, questions as the model will get them")
    if like and LIKE not in named:
        named = (*named, LIKE)
    return tuple(name for name in named if name not in (BASE, RANDOM, RANDOM_TOKENS))


def make_arms(
    pool: Rows,
    test: Rows,
    params: ProveParams,
    like: QuestionSets = (),
    others: Mapping[str, Rows] | None = None,
) -> list[Arm]:
    """Return every arm with its choices among the rows of the pool, controls included.

    Data sets that are there (`others`, by name) lose what the test set asks.
    """
    arms = [Arm(BASE), Arm(RANDOM, _draws(pool, params, params.keep))]  # refuses a bad --keep
    chosen: dict[str, Selection] = {}
    for name in named_arms(params, like):
        say(f"arm {name}: choosing")
        chosen[name] = _choose(name, pool, params, like)
    for name, rows in (others or {}).items():
        clean = decontaminate(rows, DecontaminateParams(seed=params.seed), [test]).kept
        if len(clean) < len(rows):
            left_out = counted(len(rows) - len(clean))
            say(f"arm {name}: {left_out} left out, as the test asks the same")
        chosen[name] = _whole(clean, params)
    arms += [Arm(name, (selection,) * params.repeats) for name, selection in chosen.items()]
    return _with_controls(arms, pool, params)


def mixed_arms(arm: Arm, general: Rows, params: ProveParams, place: Place) -> list[Arm]:
    """Return an arm with general rows, as often as `--mix` asks for it: a cure of forgetting."""
    arms = []
    for asked in params.mixes:
        own = asked == "self"
        how = MixParams(
            shortage="repeat", seed=params.seed, self_answers=params.model if own else ""
        )
        say(f"arm {arm.name}: mixing with general rows, {asked}")
        mixed = one(mix(mixture_of(arm.choices[0], general, "1:1" if own else asked, how)))
        for note in mixed.notes:
            say(f"note: {note}")
        name = f"{arm.name}-{'self' if own else mixed.ratio.as_name}"
        rows = place.kept(mixed, f"{name}_mixed")
        arms.append(Arm(name, (_whole(rows, params),) * params.repeats, arm.name))
    return arms


def _whole(rows: Rows, params: ProveParams) -> Selection:
    return select(rows, SelectParams(RANDOM, keep="100%", tokenizer=_by(params)))


def _by(params: ProveParams) -> str:
    return params.tokenizer or params.model


def _choose(name: str, pool: Rows, params: ProveParams, like: QuestionSets) -> Selection:
    """Return the choice of one method, within the budget where the method has one."""
    by = _by(params)
    if name == "ifd":
        return ifd.ifd(pool, IFDParams(model=params.model, keep=params.keep, tokenizer=by))
    if name in ("car", "mods"):  # by rows: as many as random ones of this budget
        size = _draws(pool, params, params.keep, repeats=1)[0].summary().kept
        if name == "car":
            return car.car(pool, CarParams(top=max(1, size // 2), tokenizer=by))
        return mods.mods(pool, ModsParams(min_quality="50%", seeds=size, tokenizer=by))
    how = SelectParams(
        recipe=name, keep=params.keep, tokenizer=by, trust_remote_code=params.trust_remote_code
    )
    return select(pool, how, like=like if name == LIKE else ())


def _draws(
    pool: Rows, params: ProveParams, keep: str | int | None, repeats: int = 0
) -> tuple[Selection, ...]:
    seeds = range(params.seed, params.seed + (repeats or params.repeats))
    how = [SelectParams(RANDOM, keep=keep, tokenizer=_by(params), seed=seed) for seed in seeds]
    return tuple(select(pool, each) for each in how)


def _with_controls(arms: Sequence[Arm], pool: Rows, params: ProveParams) -> list[Arm]:
    """Return the arms, each with random rows of as many tokens to be tested against.

    Where the tokens of all agree one control serves all; an arm whose tokens are those of the
    random arm, since the budget is in tokens, has that one.
    """
    tested = [arm for arm in arms if arm.choices and arm.name != RANDOM]
    random = next(arm for arm in arms if arm.name == RANDOM)
    controls = {BASE: RANDOM}
    in_tokens = params.keep is not None and parse_budget(params.keep).in_tokens
    if in_tokens:
        controls |= {arm.name: RANDOM for arm in tested if _agree([arm, random])}
        tested = [arm for arm in tested if arm.name not in controls]
    groups = {f"{RANDOM_TOKENS}-{arm.name}": [arm] for arm in tested}
    if not in_tokens and _agree(tested or [random]):
        groups = {RANDOM_TOKENS: tested}
        controls |= {BASE: RANDOM_TOKENS, RANDOM: RANDOM_TOKENS}
    controls |= {arm.name: name for name, group in groups.items() for arm in group}
    made = [replace(arm, control=controls.get(arm.name, "")) for arm in arms]
    for name, group in groups.items():
        tokens = int(np.mean([arm.tokens for arm in group])) if group else random.tokens
        made.append(Arm(name, _draws(pool, params, f"{max(1, tokens)}-tokens")))
    return made


def _agree(arms: Sequence[Arm]) -> bool:
    """Tell whether no arm has many more tokens than another."""
    sizes = [arm.tokens for arm in arms]
    return max(sizes) - min(sizes) <= _AGREE * max(sizes)


def equal_arms(arms: Sequence[Arm]) -> list[tuple[str, str]]:
    chosen = [(arm.name, set(arm.ids)) for arm in arms if arm.choices]
    return [
        (one, other)
        for (one, ids), (other, other_ids) in combinations(chosen, 2)
        if ids == other_ids
    ]
