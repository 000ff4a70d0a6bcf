"""IFD's brief experience: one epoch on few rows of many kinds, before the model scores.

Source: arXiv 2308.12032, section 3.1: k-means into 100 clusters over the mean last hidden state of
every instruction, 10 rows of each from the middle of its perplexities, one epoch. Deviations: what
is trained is `train sft`'s adapter and not all weights; few rows make fewer clusters; and see
`curate.scorers.instruction` and `curate.selectors.middle_band`.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from curate.choices.emitting import emit
from curate.choices.selection import Selection
from curate.console import say
from curate.data.rows import Rows
from curate.emission.emit import check_target
from curate.errors import DataError
from curate.recipes import train_between
from curate.recipes.model_scores import computed_by, instructions_of, language_model
from curate.recipes.train_between import Place, Trained
from curate.scorers.contract import Scores
from curate.scorers.ifd import DEFAULT_LENGTH
from curate.scorers.likelihood import longest_scored
from curate.selectors import middle_band
from curate.selectors.kept_and_dropped import Candidates, scored
from curate.selectors.kmeans import KMeansParams, clusters
from curate.system.run_record import RUN

NAME = "experience"
ENDING = f"_{NAME}"
CLUSTERS, PER_CLUSTER = 100, 10
# Of a cluster of 50 rows, 25 lie in the middle band: enough to draw 10 that differ.
_ROWS_A_CLUSTER = 50


@dataclass(frozen=True)
class ExperienceParams:
    """What is trained on which rows."""

    model: str = "smollm2"  # that gains the experience, and scores afterwards
    dtype: str = "auto"  # it reads instructions in
    max_length: int | None = None  # tokens of an instruction that are read
    seed: int = 0
    settings: tuple[str, ...] = ()  # `key=value` for `train sft --set`
    trust_remote_code: bool = False


def clusters_for(rows: int) -> int:
    """Return the paper's 100, but one for 50 rows where there are fewer than 5,000."""
    return min(CLUSTERS, max(1, rows // _ROWS_A_CLUSTER))


def gain_experience(
    rows: Rows, params: ExperienceParams, place: Place
) -> tuple[Trained, dict[str, Any], tuple[str, ...]]:
    """Choose rows, emit them, train on them; a run that is there is found, not trained again.

    Returned are the run, what the manifest says of the stages, and notes. What could not be
    trained or written is refused before hours are spent on scores.
    """
    name = place.name + ENDING
    without = "Without it rows are scored by the model as it is, which is what Superfiltering does"
    what = "--brief-experience trains a model"
    train_between.check(what, params.model, without, params.trust_remote_code)
    check_target(place.output, name, NAME, place.overwrite)
    # Where a run is there, or was begun, the trainer took them before.
    if not any(place.saves.glob(f"{name}-*/{RUN}")):
        train_between.check_settings(params.model, params.settings)
    selection = choose(rows, params)
    counts = selection.summary()
    emit(selection, place.output, name, place.overwrite)
    say(f"experience: {counts.kept:,} of {counts.read:,} rows, data set '{name}'")
    model, trust, grouped = params.model, params.trust_remote_code, selection.details["clusters"]
    trained = train_between.train_at(place, name, model, params.settings, params.seed, trust)
    notes = [
        f"brief experience: {counts.kept:,} of {counts.read:,} rows ({grouped['clusters']:,} x "
        f"{PER_CLUSTER} from the middle of their clusters; published are {CLUSTERS} x "
        f"{PER_CLUSTER} of 52,002), one model trained in {trained.run.steps} steps: "
        f"{trained.folder.name}"
    ]
    chosen = {"dataset": name, **asdict(counts), **grouped}
    details = {"experience": chosen, "initial_model": trained.as_dict()}
    return trained, details, (*notes, *selection.notes)


def choose(rows: Rows, params: ExperienceParams) -> Selection:
    """Return the rows of the middle band of every cluster."""
    started = time.monotonic()
    model = language_model(params.model, params.trust_remote_code, params.dtype)
    longest = longest_scored(params.max_length, DEFAULT_LENGTH, model)
    say(f"reading {len(rows):,} instructions with {model.files.name}")
    read = instructions_of(rows, model, longest)
    silent = rows.table.column("response_characters").to_numpy() == 0
    choice = scored(read.status).without(silent, "empty_response")
    usable = int(choice.kept.sum())
    if not usable:
        counts = ", ".join(f"{n:,} {reason}" for reason, n in choice.counts().items())
        raise DataError(f"no row can be trained on: {counts}. Give rows with prompt and response")
    vectors = np.where(choice.kept[:, None], read.states, np.nan).astype(np.float32)
    grouped = clusters(
        vectors, rows.ids, KMeansParams(k=clusters_for(usable), variance=1.0, seed=params.seed)
    )
    with np.errstate(over="ignore"):
        perplexity = np.exp(read.nll)
    candidates = Candidates(choice, rows.ids, values=perplexity, clusters=grouped.labels)
    band = middle_band.MiddleBandParams(per_cluster=PER_CLUSTER)
    columns = {
        "instruction_ppl": pa.array(perplexity),
        "cluster": pa.array(grouped.labels, mask=grouped.labels < 0),
    }
    return Selection(
        recipe=NAME,
        params=replace(params, max_length=longest),
        rows=rows,
        scored=Scores(read.status, columns),
        choice=middle_band.select(candidates, band),
        ranked_by="instruction_ppl",
        model=computed_by(model),
        notes=tuple(filter(None, [grouped.note])),
        seconds=time.monotonic() - started,
        details={"clusters": {"clusters": len(grouped.sizes), "per_cluster": PER_CLUSTER}},
    )
