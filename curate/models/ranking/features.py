"""From a prompt and a response to the numbers that a trained head weighs.

Families: `form` (see writing_style.py), `relation`, how near the encoder's vector of the response
is to the prompt's, and `embedding`, the vector of the response.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from curate.errors import ModelError
from curate.models.embedding import load_encoder
from curate.models.packaged_models import DEFAULT_ENCODER
from curate.models.protocols import EmbeddingModel
from curate.models.ranking.writing_style import FORM_NAMES, form_features
from curate.models.recipe import ModelRecipe, with_recipe
from curate.models.resolve import MODULES, signed
from curate.system.files import at_home
from curate.system.model_folder import CONFIG, read_json

# A vector says less and less of a text that goes on, and takes ever longer.
_CHARACTERS = 1000
# Cosines below which a response has less and less to do with its prompt; above, nothing is gained.
_UNRELATED = (0.15, 0.25, 0.4)
_TINY = 1e-9
# Part of every fingerprint: changed features never meet weights made for older ones.
_COMPUTATION = "features 2"

Pair = tuple[str, str]
Floats = NDArray[np.float32]


def load_features(encoder: str, device: str = "auto") -> EmbeddingFeatures:
    """Return what makes features with an encoder; its weights are loaded by prepare()."""
    folder = at_home(encoder)
    plain = (folder / CONFIG).is_file() and not (folder / MODULES).is_file()
    config = read_json(folder / CONFIG, "model") if plain and encoder != DEFAULT_ENCODER else {}
    if str((config.get("architectures") or [""])[0]).endswith(("ForCausalLM", "LMHeadModel")):
        raise ModelError(
            f"--encoder {encoder}: that is a language model, not an encoder of sentences. Allowed "
            f"are {DEFAULT_ENCODER}, a sentence-transformers directory or a hub id (owner/name)"
        )
    return with_recipe(EmbeddingFeatures(load_encoder(encoder, device)), "features", encoder)


class EmbeddingFeatures:
    recipe: ModelRecipe

    def __init__(self, model: EmbeddingModel) -> None:
        made_of = (_COMPUTATION, ",".join(FORM_NAMES))
        self.name, self.fingerprint = model.name, signed(*made_of, model.fingerprint)
        self.origin = signed(*made_of, model.origin)  # without the device; a head goes with one
        widths = len(FORM_NAMES), 1 + len(_UNRELATED), model.dimensions
        self.families = dict(zip(("form", "relation", "embedding"), widths, strict=True))
        self.device, self.threads = model.device, model.threads
        self.batch_tokens, self.workers = model.batch_tokens, model.workers
        self.prepare, self.worker, self._model = model.prepare, model.worker, model

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        sides = zip(*pairs, strict=True)
        both = [self._model.lengths([text[:_CHARACTERS] for text in side]) for side in sides]
        return [sum(lengths) for lengths in zip(*both, strict=True)]

    def features(self, pairs: Sequence[Pair]) -> Floats:
        starts = [text[:_CHARACTERS] for pair in pairs for text in pair]
        places = {text: place for place, text in enumerate(dict.fromkeys(starts))}
        vectors = self._model.embed(list(places))[[places[text] for text in starts]]
        prompts, responses = vectors[::2], vectors[1::2]
        norms = np.linalg.norm(prompts, axis=1) * np.linalg.norm(responses, axis=1)
        near = (prompts * responses).sum(1) / np.maximum(norms, _TINY)
        relation = np.stack([near, *(np.minimum(near, edge) for edge in _UNRELATED)], 1)
        return np.hstack((form_features(pairs), relation, responses)).astype(np.float32)
