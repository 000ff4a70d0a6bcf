"""From a prompt and a response to the numbers that a trained head weighs.

Families: `form` (see writing_style.py), and what an encoder adds. An encoder of sentences gives
`relation`, how near the response's vector is to the prompt's, and `embedding`, the vector of the
response. A language model gives `likelihood`, statistics of the response's NLL given the prompt,
and `states`, its last hidden state averaged over the response.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import ModelError, did_you_mean
from curate.models.causal_lm import load_causal_lm
from curate.models.embedding import load_encoder
from curate.models.packaged_models import DEFAULT_ENCODER, PACKAGED
from curate.models.protocols import EmbeddingModel, TokenSequence
from curate.models.ranking.writing_style import FORM_NAMES, form_features
from curate.models.recipe import ModelRecipe, with_recipe
from curate.models.resolve import fingerprint, signed
from curate.system.model_folder import CONFIG, read_json

# A vector says less and less of a text that goes on, and takes ever longer.
_CHARACTERS = 1000
_PROMPT_TOKENS = 192
_RESPONSE_TOKENS = 384
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
# Cosines below which a response has less and less to do with its prompt; above, nothing is gained.
_UNRELATED = (0.15, 0.25, 0.4)
_TINY = 1e-9
# Part of every fingerprint: changed features never meet weights made for older ones.
_COMPUTATION = "features 2"

Pair = tuple[str, str]
Floats = NDArray[np.float32]


def load_features(encoder: str, device: str = "auto") -> Featuriser:
    """Return what makes features with an encoder; its weights are loaded by prepare()."""
    model: Featuriser
    config = Path(encoder).expanduser() / CONFIG
    named = config.is_file() and read_json(config, "model").get("architectures")
    if encoder in PACKAGED or str((named or [""])[0]).endswith(("ForCausalLM", "LMHeadModel")):
        model = CausalFeatures(encoder, device)
    else:
        try:
            model = EmbeddingFeatures(load_encoder(encoder, device))
        except ModelError as error:
            if not str(error).startswith("no encoder"):
                raise
            known = (DEFAULT_ENCODER, *PACKAGED)
            raise ModelError(
                f"no encoder '{encoder}'.{did_you_mean(encoder, known)} Allowed are "
                f"{', '.join(known)}, a directory with an encoder of sentences or a language "
                "model, or an encoder's hub id (owner/name)"
            ) from error
    return with_recipe(model, "features", encoder)


class _Features:
    recipe: ModelRecipe

    def __init__(self, model: Any, origin: str, families: dict[str, int]) -> None:
        made_of = (_COMPUTATION, ",".join(FORM_NAMES))
        self.name, self.fingerprint = model.name, signed(*made_of, model.fingerprint)
        self.origin = signed(*made_of, origin)  # without the device; a head goes with one
        self.families = {"form": len(FORM_NAMES), **families}
        self.device, self.threads = model.device, model.threads
        self.batch_tokens, self.workers = model.batch_tokens, model.workers
        self.prepare, self.worker, self._model = model.prepare, model.worker, model


class EmbeddingFeatures(_Features):
    def __init__(self, model: EmbeddingModel) -> None:
        families = {"relation": 1 + len(_UNRELATED), "embedding": model.dimensions}
        super().__init__(model, model.origin, families)

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


class CausalFeatures(_Features):
    """Form, likelihood and states of a causal language model; long texts by their beginning."""

    def __init__(self, name: str, device: str = "auto") -> None:
        model = load_causal_lm(name, "float32", device=device)
        families = {"likelihood": 3 + len(_QUANTILES), "states": model.width}
        super().__init__(model, fingerprint(model.files.folder), families)

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        return [len(sequence.ids) for sequence in self._sequences(pairs)]

    def features(self, pairs: Sequence[Pair]) -> Floats:
        rows = []
        for states, nll in self._model.span_states(self._sequences(pairs)):
            values = nll.double().numpy()
            spread = [values.mean(), values.std(), values.max(), *np.quantile(values, _QUANTILES)]
            rows.append(np.concatenate([spread, states.mean(0).numpy()]))
        return np.hstack([form_features(pairs), np.array(rows)]).astype(np.float32)

    def _sequences(self, pairs: Sequence[Pair]) -> list[TokenSequence]:
        """Return prompt, line break and response, their tokens joined; an empty one is a break."""
        encoder = self._model.encoder
        prompts = encoder.encode([prompt for prompt, _ in pairs])
        responses = encoder.encode([response or "\n" for _, response in pairs])
        between = encoder.encode(["\n"])[0]
        first = [] if encoder.first_token is None else [encoder.first_token]
        sequences = []
        for lead, rest in zip(prompts, responses, strict=True):
            if len(lead) > _PROMPT_TOKENS:
                half = _PROMPT_TOKENS // 2
                lead = lead[:half] + lead[-half:]
            start = [*first, *lead, *between]
            ids = [*start, *rest[:_RESPONSE_TOKENS]][: self._model.max_positions]
            sequences.append(TokenSequence(tuple(ids), ((len(start), len(ids)),)))
        return sequences


Featuriser = EmbeddingFeatures | CausalFeatures
