"""Which model answers in MoDS's third stage: as it is, another, or trained on the seeds first."""

from __future__ import annotations

from typing import Any

from curate.console import say
from curate.data.rows import Rows
from curate.errors import UsageError
from curate.models.adapter import base_of, files_of, fingerprint_of, is_adapter
from curate.models.generate import load_generator
from curate.models.openai_server import is_address
from curate.models.protocols import Generator
from curate.recipes import initial_model
from curate.recipes.initial_model import Place
from curate.recipes.mods_params import BASE, NONE, TRAINED, Params
from curate.selection import Selection, emit

# Stanford Alpaca's epochs: one pass over a thousand rows hardly changes a model.
_EPOCHS = "num_train_epochs=3"
_ENDING = "_seeds"


def check_responder(params: Params) -> None:
    """Refuse a responder that is not to be had, before hours are spent on scores.

    Args:
        params: Responder and model.

    Raises:
        UsageError: Nothing can train here, or not with these settings.
        ModelError: No such model, or its server does not answer.
    """
    if params.responder == NONE:
        return
    if params.responder != TRAINED:
        load_generator(_named(params))
        return
    if is_address(params.model):
        raise UsageError(
            f"--model {params.model} is a server, and a model there cannot be trained; ask it "
            "as it is: --responder base"
        )
    try:
        initial_model.check_trainer()
    except UsageError as error:
        raise UsageError(
            f"the model that MoDS trains on the seeds: {error}. Without it: --responder base asks "
            f"{params.model} as it is, --seeds-only ends with quality and coverage"
        ) from error
    files_of(params.model)
    if params.train_set:
        initial_model.check_settings(params.model, params.train_set)


def seeds_name(place: Place) -> str:
    """Return the name of the data set that the model is trained on.

    Args:
        place: Names the recipe's own.
    """
    return place.name + _ENDING


def responder(seeds: Selection, params: Params, place: Place) -> tuple[Generator, dict[str, Any]]:
    """Return the model that answers, and what a manifest says of its training.

    Args:
        seeds: The choice of the seeds alone.
        params: Responder, model, settings.
        place: Where seeds and model go.

    Raises:
        ModelError: The model is not to be had.
        OutputError: The seeds cannot be written, or the training failed.
    """
    if params.responder != TRAINED:
        return load_generator(_named(params)), {}
    name = seeds_name(place)
    emit(seeds, place.output, name, place.overwrite)
    say(f"the seeds are the data set '{name}' in {place.output}")
    request = initial_model.Request(
        *(name, place.output, params.model, fingerprint_of(files_of(params.model))),
        settings=tuple({_key(each): each for each in (_EPOCHS, *params.train_set)}.values()),
        saves=place.saves,
    )
    trained = initial_model.train_on(request)
    return load_generator(str(trained.folder)), {"initial_model": trained.as_dict()}


def about_language(rows: Rows, params: Params) -> list[str]:
    """Return a note if the model that answers does not read what most rows are written in.

    Args:
        rows: To be answered.
        params: Which model.
    """
    from curate.recipes import scoring

    name = params.model if params.responder in (BASE, TRAINED) else params.responder
    if is_address(name):
        return []
    files = files_of(name)
    if is_adapter(files.folder):
        files = base_of(files)
    return scoring.about_language(rows, files, "necessity")


def _named(params: Params) -> str:
    return params.model if params.responder == BASE else params.responder


def _key(setting: str) -> str:
    return setting.partition("=")[0].strip()
