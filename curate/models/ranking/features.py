"""From a prompt and a response to the numbers that a trained head weighs.

Families: `form` (see writing_style.py), and what an encoder adds. An encoder of sentences gives
`relation`, how near the response's vector is to the prompt's, and `embedding`, the vector of the
response. A language model gives `likelihood`, statistics of the response's NLL given the prompt,
and `states`, its last hidden state averaged over the response.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from curate.errors import ModelError, did_you_mean
from curate.models.load_encoder import BUNDLED, load_encoder
from curate.models.packaged import PACKAGED
from curate.models.protocols import EmbeddingModel, Model, TokenSequence
from curate.models.ranking.writing_style import FORM_NAMES, form_features
from curate.models.recipe import ModelRecipe, whole_path

# A vector says less and less of a text that goes on, and takes ever longer.
_CHARACTERS = 1000
_PROMPT_TOKENS = 192
_RESPONSE_TOKENS = 384
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_LIKELIHOOD = 3 + len(_QUANTILES)
# Cosines below which a response has less and less to do with its prompt; above, nothing is gained.
_UNRELATED = (0.15, 0.25, 0.4)
_TINY = 1e-9
# Part of every fingerprint: changed features never meet weights made for older ones.
_COMPUTATION = "features 2"

Pair = tuple[str, str]
Floats = NDArray[np.float32]


class Featuriser(Model, Protocol):
    """What turns pairs into numbers.

    Attributes:
        encoder: Name of the encoder.
        origin: Fingerprint without the device: a head goes with the features of this origin.
        families: Family to how many numbers it has, in their order.
    """

    encoder: str
    origin: str
    families: dict[str, int]

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        """Return how long each pair is, in a unit that computing time grows with."""

    def features(self, pairs: Sequence[Pair]) -> Floats:
        """Return (pairs, sum of the families' widths)."""


def load_features(encoder: str, device: str = "auto") -> Featuriser:
    """Return what makes features with an encoder; its weights are loaded by prepare()."""
    model = _featuriser(encoder, device)
    model.recipe = ModelRecipe(
        kind="features",
        name=whole_path(encoder),
        device=model.device,
        fingerprint=model.fingerprint,
    )
    return model


def _featuriser(encoder: str, device: str) -> Featuriser:
    if encoder in BUNDLED:
        return EmbeddingFeatures(load_encoder(encoder, device))
    if encoder in PACKAGED or _is_causal(encoder):
        return CausalFeatures(encoder, device)
    try:
        return EmbeddingFeatures(load_encoder(encoder, device))
    except ModelError as error:
        if str(error).startswith("no encoder"):
            hint = did_you_mean(encoder, (*BUNDLED, *PACKAGED))
            raise ModelError(
                f"no encoder '{encoder}'.{hint} Allowed are {', '.join((*BUNDLED, *PACKAGED))}, a "
                "directory with an encoder of sentences or a language model, or an encoder's hub "
                "id (owner/name)"
            ) from error
        raise


def _is_causal(encoder: str) -> bool:
    told = Path(encoder).expanduser() / "config.json"
    if not told.is_file():
        return False
    try:
        made = json.loads(told.read_text(encoding="utf-8")).get("architectures") or [""]
    except (ValueError, AttributeError) as error:
        raise ModelError(f"model '{told.parent.name}': config.json cannot be read") from error
    return "ForCausalLM" in str(made[0])


class EmbeddingFeatures:
    """Form, relation, and the response's vector.

    Args:
        model: An encoder of sentences.
    """

    recipe: ModelRecipe

    def __init__(self, model: EmbeddingModel) -> None:
        self._model = model
        self.encoder = self.name = model.name
        self.device, self.threads = model.device, model.threads
        self.fingerprint, self.origin = _mark(model.fingerprint), _mark(model.origin)
        related = 1 + len(_UNRELATED)
        self.families = {
            "form": len(FORM_NAMES),
            "relation": related,
            "embedding": model.dimensions,
        }
        self.batch_tokens, self.workers = model.batch_tokens, model.workers

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        """Return the encoder's lengths of prompts and responses, added up."""
        both = [self._model.lengths([_start(pair[side]) for pair in pairs]) for side in (0, 1)]
        return [sum(each) for each in zip(*both, strict=True)]

    def prepare(self) -> None:
        """Load the encoder's weights."""
        self._model.prepare()

    def features(self, pairs: Sequence[Pair]) -> Floats:
        """Return form, relation and vectors, side by side."""
        texts = list(dict.fromkeys(_start(text) for pair in pairs for text in pair))
        vectors = self._model.embed(texts)
        places = {text: place for place, text in enumerate(texts)}
        prompts, responses = (
            vectors[[places[_start(pair[side])] for pair in pairs]] for side in (0, 1)
        )
        parts = (form_features(pairs), _relation(prompts, responses), responses)
        return np.hstack(parts).astype(np.float32)

    def worker(self) -> AbstractContextManager[Any]:
        """Return the encoder's own context."""
        return self._model.worker()


def _relation(prompts: Floats, responses: Floats) -> Floats:
    lengths = np.linalg.norm(prompts, axis=1) * np.linalg.norm(responses, axis=1)
    near = (prompts * responses).sum(1) / np.maximum(lengths, _TINY)
    return np.stack([near, *(np.minimum(near, edge) for edge in _UNRELATED)], 1)


class CausalFeatures:
    """Form, likelihood and states, in float32; long texts are read by their beginning.

    Args:
        name: Of a causal language model.
        device: See load_features().
    """

    recipe: ModelRecipe

    def __init__(self, name: str, device: str = "auto") -> None:
        from curate.models.load_causal_lm import load_causal_lm
        from curate.models.resolve import fingerprint, resolve

        files = resolve(name)
        self._model = load_causal_lm(name, "float32", device=device)
        self.encoder = self.name = files.name
        self.device, self.threads = self._model.device, self._model.threads
        self.fingerprint = _mark(self._model.fingerprint)
        self.origin = _mark(fingerprint(files.folder))
        self.batch_tokens, self.workers = self._model.batch_tokens, self._model.workers
        width = _width(files.folder)
        self.families = {"form": len(FORM_NAMES), "likelihood": _LIKELIHOOD, "states": width}

    def lengths(self, pairs: Sequence[Pair]) -> list[int]:
        """Return the tokens of each pair."""
        return [len(each.ids) for each in self._sequences(pairs)]

    def prepare(self) -> None:
        """Load the model's weights."""
        self._model.prepare()

    def features(self, pairs: Sequence[Pair]) -> Floats:
        """Return form, statistics of the likelihood and mean hidden states, side by side."""
        found = self._model.span_states(self._sequences(pairs))
        rows = []
        for states, nll in found:
            values = nll.double().numpy()
            spread = [values.mean(), values.std(), values.max(), *np.quantile(values, _QUANTILES)]
            rows.append(np.concatenate([spread, states.mean(0).numpy()]))
        return np.hstack([form_features(pairs), np.array(rows)]).astype(np.float32)

    def worker(self) -> AbstractContextManager[Any]:
        """Return the model's own context."""
        return self._model.worker()

    def _sequences(self, pairs: Sequence[Pair]) -> list[TokenSequence]:
        """Return prompt, line break and response, their tokens joined; an empty one is a break."""
        encoder = self._model.encoder
        asked = encoder.encode([prompt for prompt, _ in pairs])
        said = encoder.encode([response or "\n" for _, response in pairs])
        between = encoder.encode(["\n"])[0]
        first = [] if encoder.first_token is None else [encoder.first_token]
        made = []
        for lead, rest in zip(asked, said, strict=True):
            if len(lead) > _PROMPT_TOKENS:
                half = _PROMPT_TOKENS // 2
                lead = lead[:half] + lead[-half:]
            start = [*first, *lead, *between]
            ids = [*start, *rest[:_RESPONSE_TOKENS]]
            made.append(TokenSequence(tuple(ids), ((len(start), len(ids)),)))
        return made


def _width(folder: Path) -> int:
    from transformers import AutoConfig

    from curate.models.architecture import text_config

    return int(text_config(AutoConfig.from_pretrained(folder)).hidden_size)


def _start(text: str) -> str:
    return text[:_CHARACTERS]


def _mark(fingerprint: str) -> str:
    parts = (_COMPUTATION, ",".join(FORM_NAMES), fingerprint)
    return hashlib.sha256("|".join(parts).encode()).hexdigest()
