"""Does a choice beat random rows of as many tokens, on these rows, beyond chance?"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from curate.console import say
from curate.data.describe import counted
from curate.data.read import read, sources_as_dicts
from curate.data.rows import Rows
from curate.errors import UsageError
from curate.mixture.plan import parse_ratio
from curate.parameters.prove import BASE, RANDOM, RANDOM_TOKENS, ProveParams
from curate.parameters.select import SelectParams
from curate.parameters.split import DecontaminateParams, SplitParams
from curate.proofs.arms import Arm, Place, equal_arms, make_arms, mixed_arms, named_arms
from curate.proofs.result import Foreseen, Proof, pilot_of
from curate.proofs.statistics import (
    Difference,
    difference,
    holm,
    smallest_difference,
)
from curate.proofs.trainings import (
    EVEN,
    GENERAL,
    NLL,
    WINS,
    Measured,
    Runner,
    load_judge,
    preferred,
    right_letters,
)
from curate.recipes.decontaminate import decontaminate
from curate.recipes.like import QuestionSets
from curate.recipes.model_scores import refuse_pairs_and_texts
from curate.recipes.select import select
from curate.recipes.split import split
from curate.recipes.train_between import check_settings, check_trainer
from curate.system.files import write_text
from curate.system.manifest import versions

FEWEST = 30  # test rows; fewer see large differences only
# The largest published win over random rows: 50.5 against 40.7 points of seven tasks, 24 % more
# (arXiv 2503.01807, choice among 5.8 million rows). Points are no nats: the share is held against
# what training on random rows brings here, which tells no more than the order of size.
LARGEST_PUBLISHED = 0.24
_PILOT = "pilot.json"


def prove(
    rows: Rows,
    params: ProveParams,
    place: Place,
    like: QuestionSets = (),
    others: Mapping[str, Rows] | None = None,
    general: Rows | None = None,
    workers: int = 1,
    dry_run: bool = False,
    ended: Callable[[Measured], None] = lambda _: None,
) -> Proof:
    """Train on several choices of the same rows and measure what each brings on rows set aside.

    What was chosen, trained and measured before is found again. `others` are data sets that are
    arms of their own, by name; `ended` is told of every arm that has its numbers.
    """
    _refuse_early(rows, params, like, others or {}, general, dry_run)
    pool, test = _sides(rows, params.test, params.seed, place)
    provenance = {
        "sources": sources_as_dicts(rows),
        "general_sources": sources_as_dicts(general) if general is not None else None,
        "versions": versions(),
    }
    arms = make_arms(pool, test, params, like, others)
    if general is not None and params.mixes:
        to_mix, general = _sides(general, "50%", params.seed, place, "general_")
        first = named_arms(params, like)[0]
        chosen = next(each for each in arms if each.name == first)
        arms += mixed_arms(chosen, to_mix, params, place)
    notes = _about_arms(arms, test, params)
    runner = Runner(params, place, test, general, workers)
    base, random = (next(each for each in arms if each.name == name) for name in (BASE, RANDOM))
    proof = Proof(params, test, tuple(map(Measured, arms)), provenance=provenance)
    if dry_run:
        return _foreseen(proof, runner, random, notes)
    rates = params.learning_rates
    rate = runner.best_rate(random.choices[0], RANDOM) if len(rates) > 1 else rates[0]
    measured_arms = [runner.base(base)]
    ended(measured_arms[0])
    smallest = None
    for arm in sorted((arm for arm in arms if arm is not base), key=lambda arm: arm is not random):
        measured_arms.append(runner.measure(arm, rate))
        ended(measured_arms[-1])
        if arm is random and (pilot := pilot_of(measured_arms)) is not None:
            tested = sum(arm.tested for arm in arms)
            smallest = smallest_difference(pilot, len(test), params.repeats, tested)
            notes += _about_power(smallest, measured_arms) if smallest is not None else []
            write_text(place.data / _PILOT, json.dumps(pilot.tolist()))
    return _judged(dataclasses.replace(proof, smallest=smallest, notes=tuple(notes)), measured_arms)


def _refuse_early(
    rows: Rows,
    params: ProveParams,
    like: QuestionSets,
    others: Mapping[str, Rows],
    general: Rows | None,
    dry_run: bool,
) -> None:
    """Refuse what cannot be proved before hours are spent."""
    refuse_pairs_and_texts(rows, "prove")
    if params.mixes and general is None:
        raise UsageError("--mix: give --general F, rows of other kinds to mix with and measure on")
    if params.mixes and not named_arms(params, like):
        raise UsageError(
            "--mix: it mixes the rows of the first of --arms that chooses, and none does; name one"
        )
    for ratio in filter(lambda each: each != "self", params.mixes):
        parse_ratio(ratio)
    own = {BASE, RANDOM, "train", "test", *named_arms(params, like)}
    begins = (RANDOM_TOKENS, *(f"{name}-" for name in own if params.mixes))
    for name in others:
        if name.startswith(begins) or re.sub(r"^general_|_(rates|mixed|\d+)$", "", name) in own:
            raise UsageError(
                f"--arm {name}: the proof has an arm or a file of that name itself; register the "
                "data set under another name, or give other --arms"
            )
    check_trainer()
    if params.train_set:
        check_settings(params.model, params.train_set)
    if params.judge:
        load_judge(params.judge)
    if params.exam and not dry_run:
        right_letters([params.model], params.exam)


def _foreseen(proof: Proof, runner: Runner, random: Arm, notes: Sequence[str]) -> Proof:
    """Return what a proof would take, by a training of two steps, and what it could show."""
    params, arms = proof.params, [each.arm for each in proof.arms]
    start, step = runner.seconds_foreseen(random, params.learning_rates[0])
    smallest = _of_earlier_pilot(
        params, runner.place, len(proof.test), sum(arm.tested for arm in arms)
    )
    if smallest is None:
        untold = "what can be seen at all is told by two repeats of the random arm, and none were "
        notes = [*notes, f"{untold}trained yet"]
    return dataclasses.replace(
        proof,
        foreseen=Foreseen(start, step, _trainings(arms, params)),
        smallest=smallest,
        notes=tuple(notes),
    )


def _judged(proof: Proof, measured: Sequence[Measured]) -> Proof:
    """Return the proof with every arm tested against its control, by each measure."""
    by_name = {each.arm.name: _against(each, measured, proof) for each in measured}
    differences: dict[str, dict[str, Difference]] = {}
    for name, each in by_name.items():
        control = by_name.get(each.arm.control)
        for measure, own in each.numbers.items():
            other = control.numbers.get(measure) if control else None
            if measure == WINS:
                other = np.full((1, len(proof.test)), EVEN)
            if other is not None:
                sign = 1 if measure in (NLL, GENERAL) else -1  # of the others more is better
                one = difference(sign * own, sign * other, proof.params.seed)
                differences.setdefault(measure, {})[name] = one
    corrected = {
        measure: holm({name: one.p for name, one in of.items() if by_name[name].arm.tested})
        for measure, of in differences.items()
        if measure != GENERAL
    }
    return dataclasses.replace(
        proof, arms=tuple(by_name.values()), differences=differences, corrected=corrected
    )


def _against(one: Measured, measured: Sequence[Measured], proof: Proof) -> Measured:
    """Return an arm with the wins of its answers over its control's, where somebody judges."""
    control = next((each for each in measured if each.arm.name == one.arm.control), None)
    if not (proof.params.judge and control and control.answers and one.answers):
        return one
    wins = [
        preferred(
            proof.test,
            one.answers[n % len(one.answers)],
            control.answers[n % len(control.answers)],
            proof.params.judge,
        )
        for n in range(max(len(one.answers), len(control.answers)))
    ]
    return dataclasses.replace(one, numbers={**one.numbers, WINS: np.stack(wins)})


def _of_earlier_pilot(params: ProveParams, place: Place, rows: int, arms: int) -> float | None:
    """Return the smallest difference by the pilot of an earlier proof of these rows."""
    try:
        pilot = np.array(json.loads((place.data / _PILOT).read_text("utf-8")), dtype=float)
    except (OSError, ValueError):
        return None
    return smallest_difference(pilot, rows, params.repeats, arms)


def _sides(
    rows: Rows, test: str | int, seed: int, place: Place, named: str = ""
) -> tuple[Rows, Rows]:
    if Path(str(test)).is_file():
        test_rows = read(str(test))
        refuse_pairs_and_texts(test_rows, "prove --test")
        train = decontaminate(rows, DecontaminateParams(seed=seed), [test_rows])
        measured_on = select(test_rows, SelectParams(RANDOM, keep="100%"))
        left_out = len(rows) - len(train.kept)
        say(f"--test {test}: {left_out:,} of {len(rows):,} rows left out, asked there or flawed")
    elif any(map(str.isalpha, str(test))):
        raise UsageError(f"--test {test}: there is no such file; a number of rows, or 10%, will do")
    else:
        halves = split(rows, SplitParams(test=test, seed=seed))
        train, measured_on = halves.train, halves.test
        if 2 * measured_on.summary().kept > len(rows):
            raise UsageError(
                f"--test {test}: that is more than half of {len(rows):,} rows; give a smaller "
                "number, or more rows"
            )
    return place.kept(train, f"{named}train"), place.kept(measured_on, f"{named}test")


def _about_arms(arms: Sequence[Arm], test: Rows, params: ProveParams) -> list[str]:
    """Return what a user should know of them before hours are spent."""
    notes = [f"{one} and {other} chose the same rows" for one, other in equal_arms(arms)]
    if len(test) < FEWEST:
        notes.insert(
            0,
            f"a test set of {counted(len(test))} sees large differences only, {FEWEST} and more "
            "see smaller ones",
        )
    seen = params.steps * params.batch
    if more := [f"{arm.name} ({arm.rows:,})" for arm in arms if arm.rows > seen]:
        notes.append(
            f"{params.steps} steps of {params.batch} train on {seen:,} rows, so not on all of "
            f"{', '.join(more)}: give more --steps or --batch, or a smaller --keep"
        )
    return notes


def _about_power(smallest: float, measured: Sequence[Measured]) -> list[str]:
    """Return a note where the smallest difference is beyond what was ever published."""
    base, random = measured[0].nll, measured[1].nll
    if base is None or random is None:
        return []
    gain = float(np.nanmean(base) - np.nanmean(random))
    say(f"the smallest difference found with 80 % power: {smallest:.4f} nats a token")
    if gain <= 0 or smallest <= LARGEST_PUBLISHED * gain:
        return []
    return [
        f"a difference has to be {smallest:.4f} to be found, and training on random rows brings "
        f"{gain:.4f}: over {LARGEST_PUBLISHED:.0%} of it, by which the largest published win is "
        "above random rows. Give more --test rows, or more --repeats",
    ]


def _trainings(arms: Sequence[Arm], params: ProveParams) -> int:
    rates = len(params.learning_rates) if len(params.learning_rates) > 1 else 0
    trained = sum(1 for arm in arms if arm.choices)
    return trained * params.repeats + rates * (trained if params.rates_per_arm else 1)
