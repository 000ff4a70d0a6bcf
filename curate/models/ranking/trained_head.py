"""A trained head: a linear score over features, with a card that says what it was made of.

score = sum over groups g of share_g(prompt) * weight_g · clip((x - mean) / scale). The shares hang
on the prompt alone (see prompt_groups.py), so between two responses to one prompt the higher score
is always the better one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.data.escapes import decode_escapes
from curate.errors import ModelError, OutputError
from curate.models.ranking.features import Featuriser, load_features
from curate.models.ranking.prompt_groups import GROUPS, PromptGroups, look, standardised
from curate.models.ranking.writing_style import FORM_NAMES
from curate.models.recipe import ModelRecipe

CARD, WEIGHTS = "card.json", "head.safetensors"
FORMAT = "curate ranker 1"
_GROUP_PARTS = ("mean", "scale", "weight", "route")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Head:
    """The numbers of a head.

    Attributes:
        mean: (d,) of the features.
        scale: (d,) above 0.
        weight: (groups, d).
        groups: Which line of weight counts how much.
    """

    mean: Floats
    scale: Floats
    weight: Floats
    groups: PromptGroups

    def score(self, features: NDArray[np.floating[Any]], looks: Floats) -> Floats:
        """Return one score a response."""
        weights = self.groups.shares(looks) @ self.weight
        scores: Floats = (weights * self.standard(features)).sum(1)
        return scores

    def parts(self) -> dict[str, Floats]:
        """Return all numbers by name."""
        own = {"mean": self.mean, "scale": self.scale, "weight": self.weight}
        return {**own, **{f"gate_{name}": part for name, part in vars(self.groups).items()}}

    def standard(self, features: NDArray[np.floating[Any]]) -> Floats:
        """Return (n, d) features as the weights take them."""
        return standardised(features, self.mean, self.scale)


class HeadRanker:
    """A head and what makes its features, behind the RewardModel protocol.

    Literal escapes are decoded before anything is looked at, as in training.

    Args:
        name: What the user called it.
        features: Made with the encoder that the head was trained on.
        head: Its numbers.
    """

    recipe: ModelRecipe

    def __init__(self, name: str, features: Featuriser, head: Head) -> None:
        self.name, self.head, self._features = name, head, features
        digest = hashlib.sha256(features.fingerprint.encode())
        for part in head.parts().values():
            digest.update(part.astype("<f8").tobytes())
        self.fingerprint = digest.hexdigest()
        self.batch_tokens, self.workers = features.batch_tokens, features.workers
        self.device, self.threads = features.device, features.threads

    def lengths(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """Return the encoder's length of each pair."""
        return self._features.lengths(_decoded(pairs))

    def prepare(self) -> None:
        """Load the encoder's weights."""
        self._features.prepare()

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return one number a pair, higher for a better response."""
        decoded = _decoded(pairs)
        looks = look([prompt for prompt, _ in decoded])
        found: list[float] = self.head.score(self._features.features(decoded), looks).tolist()
        return found

    def worker(self) -> AbstractContextManager[Any]:
        """Return the encoder's own context."""
        return self._features.worker()


def _decoded(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(decode_escapes(prompt), decode_escapes(response)) for prompt, response in pairs]


def save_head(folder: Path, head: Head, card: dict[str, Any]) -> None:
    """Write a head and its card; the card last, so that a folder with a card is whole."""
    from safetensors.numpy import save

    data = save({key: each.astype(np.float32) for key, each in head.parts().items()})
    card = {**card, "weights_sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps(card, ensure_ascii=False, indent=1) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ((WEIGHTS, data), (CARD, text.encode())):
            part = folder / f"{name}.part"
            part.write_bytes(content)
            os.replace(part, folder / name)
    except OSError as error:
        raise OutputError(
            f"the ranker cannot be written to '{folder}': {error.strerror or error}; give another "
            "--output"
        ) from error


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of a trained ranker."""
    path = folder / CARD
    if not path.is_file():
        raise ModelError(
            f"'{folder.name}' has no {CARD}, so it is no trained ranker; give a folder that "
            "`curate ranker train` wrote"
        )
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if card["format"] != FORMAT:
            raise ModelError(
                f"'{folder.name}': {CARD} says format {card['format']!r}, read is {FORMAT!r}; "
                "train it again"
            )
        str(card["encoder"]["fingerprint"]), str(card["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"'{folder.name}': {CARD} cannot be read as a ranker's; copy the folder again"
        ) from error
    return card


def load_ranker(
    folder: Path, name: str, encoder: str | None = None, device: str = "auto"
) -> HeadRanker:
    """Return a trained ranker; its encoder's weights are loaded by prepare()."""
    card = read_card(folder)
    features = _features(name, str(card["encoder"]["name"]), encoder, device)
    if features.origin != card["encoder"]["fingerprint"]:
        raise ModelError(
            f"ranker '{name}' was trained with another encoder than this '{features.encoder}' "
            f"(fingerprint {str(card['encoder']['fingerprint'])[:12]}, here "
            f"{features.origin[:12]}): its weights mean nothing here. Train it again: "
            f"curate ranker train --pairs F --encoder {features.encoder} --output DIR"
        )
    return HeadRanker(name, features, _read(folder, name, card, sum(features.families.values())))


def _features(name: str, called: str, encoder: str | None, device: str) -> Featuriser:
    try:
        return load_features(encoder or called, device)
    except ModelError as error:
        if encoder:
            raise
        raise ModelError(
            f"ranker '{name}' was trained with the encoder '{called}', which is not to be had by "
            f"that name: {error}. --encoder says where it lies"
        ) from error


def _read(folder: Path, name: str, card: dict[str, Any], width: int) -> Head:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    looks, sets = len(FORM_NAMES), len(GROUPS)
    shapes = {
        **{"mean": (width,), "scale": (width,), "weight": (sets, width)},
        **{"gate_mean": (looks,), "gate_scale": (looks,), "gate_weight": (looks + 1,)},
        "gate_route": (sets, sets),
    }
    try:
        data = (folder / WEIGHTS).read_bytes()
        parts = load(data)
        found = {key: parts[key].astype(np.float64) for key in shapes}
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"ranker '{name}': {WEIGHTS} cannot be read; copy the folder again"
        ) from error
    if hashlib.sha256(data).hexdigest() != card["weights_sha256"]:
        raise ModelError(f"ranker '{name}': {WEIGHTS} is not the file of its card; copy both again")
    if any(found[key].shape != shape for key, shape in shapes.items()):
        raise ModelError(f"ranker '{name}': {WEIGHTS} has other shapes than its features have")
    if not all(np.isfinite(each).all() for each in found.values()):
        raise ModelError(f"ranker '{name}': {WEIGHTS} holds NaN or infinity; train it again")
    groups = PromptGroups(**{key: found.pop(f"gate_{key}") for key in _GROUP_PARTS})
    return Head(**found, groups=groups)
