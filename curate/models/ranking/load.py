"""From what stands behind --reward or --ranker to a model that scores responses."""

from __future__ import annotations

from pathlib import Path

from curate.errors import ModelError, did_you_mean
from curate.models.packaged import PACKAGED
from curate.models.protocols import RewardModel
from curate.models.ranking.trained_head import CARD, load_ranker, read_card
from curate.models.ranking.value_head import VALUE_HEAD, load_value_head
from curate.models.recipe import ModelRecipe, whole_path
from curate.models.resolve import resolve
from curate.system.model_folder import is_adapter

# The head that comes with curate; `make ranker` trains it.
DEFAULT_RANKER = "pairs"
SHIPPED = Path(__file__).parent / "pairs"


def load_reward(
    name: str = DEFAULT_RANKER, encoder: str | None = None, device: str = "auto"
) -> RewardModel:
    """Return the reward model of that name; its weights are loaded by prepare() and not before.

    Args:
        name: `pairs` (the bundled head), a folder that `curate ranker train` wrote, the output of
            LLaMA-Factory's stage rm, or a model for sequence classification with one output: a
            directory or a hub id.
        encoder: For a trained head, where its encoder lies now, if not where its card says.
        device: `cpu` or `cuda`; `auto` is what this machine has.

    Raises:
        ModelError: Unknown, incomplete, not to be had, or no reward model.

    Example:
        >>> load_reward("pairs").name
        'pairs'
    """
    model = _reward(name, encoder, device)
    model.recipe = ModelRecipe(
        kind="reward",
        name=whole_path(name),
        device=model.device,
        encoder=encoder and whole_path(encoder),
        fingerprint=model.fingerprint,
    )
    return model


def _reward(name: str, encoder: str | None, device: str) -> RewardModel:
    if name == DEFAULT_RANKER:
        return load_ranker(SHIPPED, name, encoder, device)
    folder = Path(name).expanduser()
    if folder.is_dir():
        called = folder.resolve().name
        if (folder / CARD).is_file() or not (folder / "config.json").is_file():
            if not is_adapter(folder):
                return load_ranker(folder, called, encoder, device)
            return load_value_head(folder, device)
        if is_adapter(folder) or (folder / VALUE_HEAD).is_file():
            return load_value_head(folder, device)
    if name in PACKAGED:
        raise ModelError(
            f"'{name}' is a language model and gives no rewards; give {DEFAULT_RANKER}, or train a "
            f"ranker with it: curate ranker train --pairs F --encoder {name} --output DIR"
        )
    try:
        files = resolve(name)
    except ModelError as error:
        if str(error).startswith("no model"):
            hint = did_you_mean(name, [DEFAULT_RANKER])
            raise ModelError(
                f"no ranker or reward model '{name}'.{hint} Bundled is {DEFAULT_RANKER}; a folder "
                "that `curate ranker train` wrote, LLaMA-Factory's output of stage rm, a directory "
                "with a model for sequence classification, or a hub id (owner/name) will do too"
            ) from error
        raise
    from curate.models.ranking.classifier import load_classifier

    return load_classifier(files, device)


def trained_on(name: str) -> set[str]:
    """Return the sha256 of each file that a head was trained on; nothing for other models.

    Args:
        name: As for load_reward().
    """
    folder = SHIPPED if name == DEFAULT_RANKER else Path(name).expanduser()
    if not (folder / CARD).is_file():
        return set()
    return {str(each["sha256"]) for each in read_card(folder).get("data", {}).values()}
