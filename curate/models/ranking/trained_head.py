"""A trained head: a linear score over features, with a card that says what it was made of.

score = sum over groups g of share_g(prompt) * weight_g · clip((x - mean) / scale), where the shares
hang on the prompt alone.

Experts who revise answers to short tasks like other things than those who prefer one of two long
answers, and what is long in English is not in Chinese. So there is a set of weights for Chinese
prompts, and two for all others, mixed by how much the prompt looks like those of preference rows
and how much like those of expert revisions. Only how a prompt is written is looked at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.data.preference_pairs import decode_escapes
from curate.errors import ModelError
from curate.models.ranking.features import EmbeddingFeatures, load_features
from curate.models.ranking.writing_style import form_features, is_chinese
from curate.models.recipe import ModelRecipe
from curate.system.files import whole_files, writing_to
from curate.system.model_folder import read_json

CARD, WEIGHTS = "card.json", "head.safetensors"
FORMAT = "curate ranker 1"
GROUPS = ("like_revisions", "like_preferences", "chinese")
_FARTHEST = 4.0  # deviations; one odd text does not outweigh all else
_SURE = 30.0

Floats = NDArray[np.float64]


def standardised(features: NDArray[np.floating[Any]], mean: Floats, scale: Floats) -> Floats:
    """Return (n, d) features in deviations from the mean, at most four."""
    away: Floats = (features.astype(np.float64) - mean) / scale
    return np.clip(away, -_FARTHEST, _FARTHEST)


def look(prompts: Sequence[str]) -> Floats:
    """Return how prompts are written and, last, whether they are Chinese, (n, f + 1)."""
    form = form_features([("", prompt) for prompt in prompts]).astype(np.float64)
    chinese = np.array([float(is_chinese(prompt)) for prompt in prompts]).reshape(-1, 1)
    return np.hstack([form, chinese])


@dataclass(frozen=True)
class PromptGroups:
    mean: Floats  # (f,) of the looks of prompts, f = len(FORM_NAMES)
    scale: Floats  # (f,) above 0
    weight: Floats  # (f + 1,) towards preference rows; the last is added
    route: Floats  # (groups, groups) from the set that a prompt asks for to the one that it gets

    def shares(self, looks: Floats) -> Floats:
        """Return the share of each of GROUPS for looks from look(), (n, groups), 1 in a line."""
        away = standardised(looks[:, :-1], self.mean, self.scale)
        lean = np.clip(away @ self.weight[:-1] + self.weight[-1], -_SURE, _SURE)
        chinese, likely = looks[:, -1], 1 / (1 + np.exp(-lean))
        asked = np.stack(((1 - chinese) * (1 - likely), (1 - chinese) * likely, chinese), 1)
        shares: Floats = asked @ self.route
        return shares


@dataclass(frozen=True)
class Head:
    mean: Floats  # (d,) of the features
    scale: Floats  # (d,) above 0
    weight: Floats  # (groups, d)
    groups: PromptGroups  # which line of weight counts how much

    def score(self, features: NDArray[np.floating[Any]], looks: Floats) -> Floats:
        weights = self.groups.shares(looks) @ self.weight
        scores: Floats = (weights * standardised(features, self.mean, self.scale)).sum(1)
        return scores

    def parts(self) -> dict[str, Floats]:
        gates = {f"gate_{name}": part for name, part in vars(self.groups).items()}
        return {"mean": self.mean, "scale": self.scale, "weight": self.weight, **gates}


class HeadRanker:
    """A head and what makes its features, behind the RewardModel protocol.

    Literal escapes are decoded before anything is looked at, as in training.
    """

    recipe: ModelRecipe

    def __init__(self, name: str, features: EmbeddingFeatures, head: Head) -> None:
        self.name, self.head, self._features = name, head, features
        digest = hashlib.sha256(features.fingerprint.encode())
        for part in head.parts().values():
            digest.update(part.astype("<f8").tobytes())
        self.fingerprint = digest.hexdigest()
        self.batch_tokens, self.workers = features.batch_tokens, features.workers
        self.device, self.threads = features.device, features.threads
        self.prepare, self.worker = features.prepare, features.worker

    def lengths(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        return self._features.lengths(_decoded(pairs))

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        decoded = _decoded(pairs)
        looks = look([prompt for prompt, _ in decoded])
        return list(map(float, self.head.score(self._features.features(decoded), looks)))


def _decoded(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(decode_escapes(prompt), decode_escapes(response)) for prompt, response in pairs]


def save_head(folder: Path, head: Head, card: dict[str, Any]) -> None:
    """Write a head and its card; the card last, so that a folder with a card is whole."""
    from safetensors.numpy import save

    data = save({key: part.astype(np.float32) for key, part in head.parts().items()})
    card = {**card, "weights_sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps(card, ensure_ascii=False, indent=1) + "\n"
    with writing_to(folder, "the ranker"):
        folder.mkdir(parents=True, exist_ok=True)
        with whole_files(folder / WEIGHTS, folder / CARD) as (weights, card_file):
            weights.write_bytes(data)
            card_file.write_bytes(text.encode())


def read_card(folder: Path) -> dict[str, Any]:
    card = read_json(folder / CARD, f"'{folder.name}'") if (folder / CARD).is_file() else {}
    encoder = card.get("encoder")
    named = isinstance(encoder, dict) and {"fingerprint", "name"} <= encoder.keys()
    if not named or card.get("format") != FORMAT:
        raise _not_whole(folder)
    return card


def _not_whole(folder: Path) -> ModelError:
    return ModelError(
        f"'{folder.name}' does not hold {CARD} and {WEIGHTS} as `curate ranker train` writes them "
        f"({FORMAT}); copy the folder again, or train it again"
    )


def load_ranker(folder: Path, name: str, device: str = "auto") -> HeadRanker:
    card = read_card(folder)
    called, fingerprint = card["encoder"]["name"], card["encoder"]["fingerprint"]
    try:
        features = load_features(called, device)
    except ModelError as error:
        raise ModelError(
            f"ranker '{name}' was trained with the encoder '{called}', which is not to be had by "
            f"that name: {error}. A directory is looked for where you stand: ln -s /…/{called} ."
        ) from error
    if features.origin != fingerprint:
        raise ModelError(
            f"ranker '{name}' was trained with another encoder than this '{features.name}' "
            f"(fingerprint {fingerprint[:12]}, here {features.origin[:12]}): its weights mean "
            "nothing here. Train it again: curate ranker train --pairs F --encoder "
            f"{features.name} --output DIR"
        )
    return HeadRanker(name, features, _read_head(folder, card))


def _read_head(folder: Path, card: dict[str, Any]) -> Head:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = (folder / WEIGHTS).read_bytes()
        parts = {key: part.astype(np.float64) for key, part in load(data).items()}
        gates = {field.name: parts.pop(f"gate_{field.name}") for field in fields(PromptGroups)}
        head = Head(**parts, groups=PromptGroups(**gates))
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise _not_whole(folder) from error
    # What its own card vouches for has the shapes and the numbers of training.
    if hashlib.sha256(data).hexdigest() != card.get("weights_sha256"):
        raise _not_whole(folder)
    return head
