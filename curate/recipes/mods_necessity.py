"""The last stages of MoDS: what a model answers badly (necessity), and what of it is added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.console import progress, say
from curate.data.rows import Rows
from curate.engine.local import LocalEngine
from curate.models.protocols import Generator
from curate.recipes import scoring
from curate.recipes.mods_params import Params
from curate.recipes.mods_seeds import Seeds, quantiles, ranks
from curate.scorers.contract import OK
from curate.scorers.necessity import EMPTY, AnswerParams, Answers, answers, necessity
from curate.selectors.choice import Choice
from curate.selectors.k_center import COVERED, Centres, k_center
from curate.system.cache import cache_dir

NECESSITY = "necessity"
NOT_NECESSARY, NOT_AUGMENTED = "not_necessary", "not_augmented"
NOT_FINITE = "answer_not_scored"


@dataclass(frozen=True)
class Added:
    """What the last stages found; everything a line for each row.

    Attributes:
        answers: The model's.
        necessity: (n,) rewards of the answers; NaN where there is none.
        necessary: (n,) whether a row is answered badly.
        chosen: (m,) positions of the rows that are added, the first chosen first.
        centres: What k-centre greedy says of them.
        choice: The choice of seeds and added rows.
        notes: What a user should be told, a sentence each.
    """

    answers: Answers
    necessity: NDArray[np.float64]
    necessary: NDArray[np.bool_]
    chosen: NDArray[np.int64]
    centres: Centres
    choice: Choice
    notes: tuple[str, ...]

    def columns(self, seeds: Seeds) -> dict[str, pa.Array]:
        """Return the columns that these stages add to a scores file.

        Args:
            seeds: What the first stages found.
        """
        size = len(self.necessity)
        rank, distance = ranks(size, self.chosen, self.centres)
        by = np.full(size, None, dtype=object)
        by[seeds.chosen], by[self.chosen] = "seed", "augmented"
        status = self.answers.status
        return {
            NECESSITY: pa.array(self.necessity),
            "necessary": pa.array(self.necessary, mask=status == ""),
            "augment_rank": rank,
            "augment_distance": distance,
            "chosen_by": pa.array(by, pa.string()),
            "answer_status": pa.array(status, pa.string(), mask=status == ""),
            "answer": pa.array(self.answers.texts, pa.large_string()),
        }

    def stages(self, seeds: Seeds) -> list[dict[str, Any]]:
        """Return the counts of these stages.

        Args:
            seeds: What the first stages found.
        """
        asked = int((self.answers.status != "").sum())
        others = self.necessary.copy()
        others[seeds.chosen] = False
        return [
            {"stage": "answers", "rows": asked, **self.answers.counts()},
            {
                "stage": NECESSITY,
                "rows": int(np.isfinite(self.necessity).sum()),
                "necessary": int(self.necessary.sum()),
                "necessary_seeds": int(self.necessary.sum() - others.sum()),
            },
            {"stage": "augment", "rows": int(others.sum()), "added": len(self.chosen)},
        ]


def add_necessary(rows: Rows, seeds: Seeds, params: Params, model: Generator) -> Added:
    """Return the seeds, and rows that the model answers badly and that no seed is near to.

    Every good row's instruction is asked, the seeds' own too, as in the paper. Deviations: an
    answer that is empty or repeats itself makes its row necessary, whatever a reward model says
    of it; and the second k-centre greedy starts from the seeds, so that what is added lies far
    from them, and no row comes twice.

    Args:
        rows: Instruction data.
        seeds: What the first stages found.
        params: Bound, number, length of answers, reward model.
        model: Answers.

    Raises:
        ModelError: A model cannot be loaded, or the server does not answer.
        OutputError: The journal cannot be written.
    """
    good = np.flatnonzero(seeds.good.kept)
    say(f"{scoring.called(model.name)} answers the instructions of {len(good):,} good rows")
    engine = LocalEngine(cache_dir() / "journals", progress("answering"))
    given = answers(rows, good, AnswerParams(params.max_new_tokens), model, engine)
    scored = LocalEngine(cache_dir() / "journals", progress())
    values = necessity(rows, given, scoring.reward_model(params.reward), scored)
    failed = given.failed
    judged = np.where(failed, -np.inf, values)
    known = judged[~np.isnan(judged)]
    bound = params.necessary(known) if len(known) else float("nan")
    necessary = failed | (judged < bound)
    return _augmented(rows, seeds, params, (given, values, necessary))


def _augmented(
    rows: Rows,
    seeds: Seeds,
    params: Params,
    found: tuple[Answers, NDArray[np.float64], NDArray[np.bool_]],
) -> Added:
    given, values, necessary = found
    is_seed = np.isin(np.arange(len(rows)), seeds.chosen)
    pool = np.flatnonzero(necessary & ~is_seed)
    wanted = len(seeds.chosen) if params.augment is None else params.augment
    points = np.array(seeds.vectors[pool], dtype=np.float32)
    start = np.array(seeds.vectors[seeds.chosen], dtype=np.float32)
    centres = k_center(points, rows.ids[pool], wanted, params.seed, start, seeds.quality[pool])
    chosen = pool[centres.order]
    exhausted = len(chosen) < min(wanted, len(pool))  # all others lie on a row that is kept
    kept = is_seed | np.isin(np.arange(len(rows)), chosen)
    choice = seeds.good
    # Rows without a verdict are left out under the reason why there is none.
    for name in sorted(set(given.status[seeds.good.kept & ~given.given])):
        choice = choice.without((given.status == name) & ~kept, str(name))
    unscored = given.given & (given.status != EMPTY) & ~np.isfinite(values)
    choice = choice.without(unscored & ~kept, NOT_FINITE)
    choice = choice.without(~necessary & ~kept, NOT_NECESSARY)
    choice = choice.without(~kept, COVERED if exhausted else NOT_AUGMENTED)
    notes = _notes(params, (given, values, necessary), len(pool), wanted, len(chosen))
    return Added(given, values, necessary, chosen, centres, choice, tuple(notes))


def _notes(
    params: Params,
    found: tuple[Answers, NDArray[np.float64], NDArray[np.bool_]],
    pool: int,
    wanted: int,
    added: int,
) -> list[str]:
    given, values, necessary = found
    counts = given.counts()
    told = "".join(f", {rows:,} {name}" for name, rows in counts.items() if name != OK)
    rewards = values[np.isfinite(values)]
    notes = [
        f"answers: {sum(counts.values()):,} instructions were asked{told}; necessity: "
        f"{int(necessary.sum()):,} of them are answered badly (--max-necessity "
        f"{params.max_necessity}), {pool:,} besides the seeds; augment: {added:,} of these are "
        "added to the seeds"
    ]
    if not pool and len(rewards):
        notes.append(
            "no row besides the seeds is necessary; quantiles of the answers' rewards are "
            f"{quantiles(rewards)}: --max-necessity 30% takes the 30 % with the lowest"
        )
    elif added < min(wanted, pool):
        notes.append("all other necessary rows have the instruction of a row that is kept")
    elif pool < wanted and params.augment is not None:
        notes.append(f"--augment {wanted}: only {pool:,} rows are necessary, and all are added")
    return notes
