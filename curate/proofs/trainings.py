"""Trainings of a proof, one a repeat of each arm, and what their models answer.

Trainings go through `train sft`, and are found again where they are. All have the same steps, rows
a step and learning rate; seeds differ from repeat to repeat. What one took is told by two steps,
from which the whole is foreseen.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.choices.emitting import emit
from curate.choices.selection import Selection
from curate.console import say
from curate.data.rows import Rows
from curate.engine import open_engine
from curate.errors import CuratrainError, OutputError, UsageError
from curate.models.generate import MOST_TOKENS, asked_of_judge, letter
from curate.models.openai_client import check_reachable, is_address
from curate.models.recipe import ModelRecipe
from curate.parameters.prove import RANDOM, ProveParams
from curate.proofs.arms import Arm, Place
from curate.proofs.statistics import Floats
from curate.recipes.model_scores import language_model, leaving_out, likelihood_of
from curate.recipes.train_between import Request, Trained, train_on
from curate.scorers.necessity import answers, ask
from curate.scorers.overlap import overlap
from curate.scorers.reward import score_texts, texts_of

Texts = NDArray[np.object_]
WINS, EVEN = "wins", 50.0
EXAM = "exam"


def answered(rows: Rows, model: str, most: int, trust_remote_code: bool = False) -> Texts:
    """Return (n,) the most likely answer to each row; None where the model was not asked."""
    engine = open_engine()
    recipe = ModelRecipe(kind="generator", name=model, trust_remote_code=trust_remote_code)
    generator = engine.load(recipe)
    return answers(rows, np.arange(len(rows)), most, generator, engine).texts


def of_references(measure: str, rows: Rows, texts: Texts) -> Floats:
    """Return (n,) how much of its reference each answer has; NaN for none."""
    places = [place for place, text in enumerate(texts) if text is not None]
    references = [rows[place].response for place in places]
    values, _ = overlap(measure, [texts[place] for place in places], references)
    numbers = np.full(len(rows), np.nan)
    numbers[places] = values
    return numbers


def preferred(rows: Rows, ours: Texts, theirs: Texts, judge: str) -> Floats:
    """Return (n,) 100 where our answer is better, 0 where theirs is, 50 for a tie.

    Answers that do not differ are a tie, and any is better than none. A ranker scores each answer
    by itself; a server is asked in both orders, and what it does not say in both is a tie.
    """
    wins = np.full(len(rows), EVEN)
    open_places = []
    for place, pair in enumerate(zip(ours, theirs, strict=True)):
        first, second = ((text or "").strip() for text in pair)
        if None in pair:
            wins[place] = np.nan
        elif first != second and first and second:
            open_places.append(place)
        elif first != second:
            wins[place] = 100.0 if first else 0.0
    if not open_places:
        return wins
    asked = [texts_of(rows[place])[0] for place in open_places]
    sides = [(str(ours[place]), str(theirs[place])) for place in open_places]
    model, engine, both = load_judge(judge), open_engine(), list(zip(asked, sides, strict=True))
    if is_address(judge):
        talks = [asked_of_judge(asked, *pair[::step]) for asked, pair in both for step in (1, -1)]
        verdicts = [letter(reply.text) for reply in ask(talks, MOST_TOKENS, model, engine)]
        pairs = zip(verdicts[::2], verdicts[1::2], strict=True)
        wins[open_places] = [{"AB": 100.0, "BA": 0.0}.get("".join(pair), EVEN) for pair in pairs]
    else:
        texts = [(prompt, side) for prompt, pair in both for side in pair]
        rewards = score_texts(texts, model, engine).reshape(-1, 2)
        wins[open_places] = EVEN + EVEN * np.sign(rewards[:, 0] - rewards[:, 1])
    return wins


def right_letters(models: Sequence[str], exam: Sequence[str]) -> list[Floats]:
    """Return of each model (questions,) 100 where its likeliest letter is right, else 0.

    NaN for what it was trained on. Letters are kept, so that a second call is quick.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "deploy", "eval", *models, "--output", folder]
        command += ["--name", EXAM, "--max-tokens", "1", *(w for f in exam for w in ("--exam", f))]
        ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if ended.returncode:
            last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise OutputError(f"--exam: {last.removeprefix('error:').strip()}")
        questions = [json.loads(line) for line in (Path(folder) / f"{EXAM}.jsonl").open("rb")]
    points = [
        [
            np.nan if one["trained_on"] else 100.0 * (one["letter"] == each["answer"])
            for one in each["models"].values()
        ]
        for each in questions
    ]
    return [*np.array(points).T]


def load_judge(name: str) -> Any:
    """Return the server, or the ranker, that says which answer is better."""
    check_reachable(name)
    kind = "generator" if is_address(name) else "reward"
    return open_engine().load(ModelRecipe(kind=kind, name=name))


NLL, GENERAL = "nll", "general"
# Tokens of prompt and response that are trained on and measured.
LONGEST = 2048
_VALIDATION = 0.1  # of an arm's rows, for its learning rate
_FEWEST = 5  # rows on which a rate is chosen
_RESULTS = "train_results.json"  # what LLaMA-Factory says of a run


@dataclass(frozen=True)
class Measured:
    arm: Arm
    # By measure, (repeats, test rows); one line for the base model. `nll`: nats a token of each
    # response; `general`: likewise of general rows; what answers have of references
    # (curate.scorers.overlap); `wins` against the control's answers; `exam` is (repeats, questions)
    numbers: Mapping[str, Floats] = field(default_factory=dict)
    answers: tuple[Texts, ...] = ()  # of each repeat, (test rows,), where they were asked for
    rate: float | None = None  # of learning; None for the base model
    failure: str = ""  # why there are no numbers
    folders: tuple[Path, ...] = ()  # of the trained models, one a repeat

    @property
    def nll(self) -> Floats | None:
        return self.numbers.get(NLL)


@dataclass(frozen=True)
class Runner:
    params: ProveParams
    place: Place
    test: Rows
    general: Rows | None = None
    workers: int = 1

    def base(self, arm: Arm) -> Measured:
        return self._measured(Measured(arm), [self.params.model])

    def measure(self, arm: Arm, rate: float) -> Measured:
        """Train an arm as often as there are repeats and measure every model.

        A training that fails is told, and the arm has no numbers then.
        """
        try:
            if self.params.rates_per_arm and len(self.params.learning_rates) > 1:
                rate = self.best_rate(arm.choices[0], arm.name)
            folders = tuple(each.folder for each in self.trained(arm, rate))
            return self._measured(Measured(arm, rate=rate, folders=folders), [*map(str, folders)])
        except CuratrainError as error:
            if error.exit_code != CuratrainError.exit_code:  # stopped on purpose
                raise
            say(f"arm {arm.name} failed: {error}")
            return Measured(arm, failure=str(error), rate=rate)

    def trained(self, arm: Arm, rate: float, steps: int = 0) -> list[Trained]:
        """Return every repeat's model, trained now or found."""
        drawn = len({id(each) for each in arm.choices}) > 1
        names = [f"{arm.name}_{n}" if drawn else arm.name for n in range(len(arm.choices))]
        for name, choice in dict(zip(names, arm.choices, strict=True)).items():
            self._emit(choice, name)
        seeds = range(self.params.seed, self.params.seed + len(names))
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(partial(self._train, rate=rate, steps=steps), names, seeds))

    def best_rate(self, choice: Selection, name: str) -> float:
        """Return the rate with the lowest NLL on a tenth of the rows after training on the rest."""
        kept = np.flatnonzero(choice.choice.kept)
        size = max(_FEWEST, round(_VALIDATION * len(kept)))
        if size >= len(kept):
            raise UsageError(
                f"--rates: {len(kept):,} rows are too few to choose a learning rate on {size:,} of "
                "them; give one rate, or a larger --keep"
            )
        aside = np.random.default_rng(self.params.seed).permutation(kept)[:size]
        without = choice.choice.without(np.isin(np.arange(len(choice.rows)), aside), "validation")
        left_out = choice.rows.table.column("flaw").to_numpy(zero_copy_only=False) != ""
        left_out |= ~np.isin(np.arange(len(choice.rows)), aside)
        validation = leaving_out(choice.rows, left_out, "not_validation")
        self._emit(replace(choice, choice=without), f"{name}_rates")
        losses = {}
        for rate in self.params.learning_rates:
            trained = self._train(f"{name}_rates", self.params.seed, rate=rate)
            losses[rate] = float(np.nanmean(self._nll(validation, str(trained.folder))))
        best = min(losses, key=lambda rate: (losses[rate], rate))
        of_all = ", ".join(f"{rate:g}: {loss:.4f}" for rate, loss in losses.items())
        say(f"learning rate {best:g} of {of_all} nats a token on {size:,} rows set aside of {name}")
        return best

    def seconds_foreseen(self, random: Arm, rate: float) -> tuple[float, float]:
        """Return seconds of a training's start and of one step, by a training of two steps."""
        (trained,) = self.trained(Arm(f"{RANDOM}_two_steps", random.choices[:1]), rate, steps=2)
        results = json.loads((trained.folder / _RESULTS).read_text(encoding="utf-8"))
        steps = float(results["train_runtime"])
        return max(0.0, trained.run.seconds - steps), steps / 2

    def _emit(self, choice: Selection, name: str) -> None:
        emit(choice, self.place.data, f"{self.place.name}_{name}", overwrite=True)

    def _train(self, name: str, seed: int, rate: float, steps: int = 0) -> Trained:
        # Each data set would choose its own: an arm of long rows another than its control.
        model = language_model(self.params.model, self.params.trust_remote_code)
        settings = (
            f"cutoff_len={min(LONGEST, model.max_positions)}",
            f"max_steps={steps or self.params.steps}",
            f"learning_rate={rate:g}",
            "per_device_train_batch_size=1",
            f"gradient_accumulation_steps={self.params.batch}",
            *self.params.train_set,
        )
        return train_on(
            Request(
                dataset=f"{self.place.name}_{name}",
                dataset_dir=self.place.data,
                model=self.params.model,
                model_fingerprint=model.fingerprint,
                settings=settings,
                saves=self.place.saves,
                seed=seed,
            ),
            tell=lambda _: None,
        )

    def _measured(self, arm: Measured, models: Sequence[str]) -> Measured:
        params = self.params
        numbers = {NLL: [self._nll(self.test, model) for model in models]}
        if self.general is not None:
            numbers[GENERAL] = [self._nll(self.general, model) for model in models]
        texts: list[Texts] = []
        if params.measures or params.judge:
            more = params.max_new_tokens, params.trust_remote_code
            texts = [answered(self.test, model, *more) for model in models]
        for measure in params.measures:
            numbers[measure] = [of_references(measure, self.test, each) for each in texts]
        if params.exam:
            numbers[EXAM] = right_letters(models, params.exam)
        stacked = {measure: np.stack(lines) for measure, lines in numbers.items()}
        return replace(arm, numbers=stacked, answers=tuple(texts))

    def _nll(self, rows: Rows, model: str) -> Floats:
        """Return (n,) mean NLL of each row's responses, nats a token; NaN for what has none."""
        loaded = language_model(model, self.params.trust_remote_code)
        likelihoods = likelihood_of(rows, loaded, LONGEST)
        return likelihoods.mean(likelihoods.turn_prompted)
