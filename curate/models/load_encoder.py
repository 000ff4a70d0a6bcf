"""From an encoder's name to something that embeds texts."""

from __future__ import annotations

from curate.errors import ModelError, did_you_mean
from curate.models.packaged import PACKAGED
from curate.models.protocols import EmbeddingModel
from curate.models.recipe import ModelRecipe, whole_path
from curate.models.resolve import resolve

DEFAULT_ENCODER = "use"
BUNDLED = (DEFAULT_ENCODER,)


def load_encoder(name: str = DEFAULT_ENCODER, device: str = "auto") -> EmbeddingModel:
    """Return the encoder of that name; its weights are loaded by prepare() and not before.

    Args:
        name: `use` (bundled, 512 numbers, 16 languages), a sentence-transformers directory, or a
            hub id such as `BAAI/bge-small-zh-v1.5`. Only safetensors are loaded, and code that
            comes with a model is never run.
        device: `cpu` or `cuda`; `auto` is what this machine has.

    Raises:
        ModelError: Unknown, incomplete, not to be had, or of a kind that is not known here.

    Example:
        >>> load_encoder("use").dimensions
        512
    """
    model = _encoder(name, device)
    model.recipe = ModelRecipe(
        kind="encoder",
        name=whole_path(name),
        device=model.device,
        fingerprint=model.fingerprint,
    )
    return model


def _encoder(name: str, device: str) -> EmbeddingModel:
    if name == DEFAULT_ENCODER:
        from curate.models.universal_sentence_encoder import UniversalSentenceEncoder

        return UniversalSentenceEncoder()
    if name in PACKAGED:
        raise ModelError(
            f"--encoder {name}: that is a language model, not an encoder of sentences. Allowed are "
            f"{DEFAULT_ENCODER}, a sentence-transformers directory or a hub id (owner/name)"
        )
    try:
        files = resolve(name)
    except ModelError as error:
        if str(error).startswith("no model"):
            hint = did_you_mean(name, BUNDLED)
            raise ModelError(
                f"no encoder '{name}'.{hint} Bundled is {DEFAULT_ENCODER}; a sentence-transformers "
                "directory, or a hub id (owner/name), will do too"
            ) from error
        raise
    from curate.models.sentence_encoder import SentenceEncoder

    return SentenceEncoder(files, device)
