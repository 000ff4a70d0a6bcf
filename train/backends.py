"""Which LLaMA-Factory runs a stage: that of this environment, or an older one for ppo."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
from pathlib import Path

from curate.errors import UsageError
from curate.llamafactory import backend as llamafactory
from curate.llamafactory import older_readers
from curate.llamafactory.backend import Backend
from curate.system import environments
from curate.system.environments import Environment

# The last release whose PPO runs: 0.9.5 asks for trl <= 0.9.6 there and cannot be run with it.
PPO_VERSION = "0.9.3"
_PPO_IMPORTS = ("torch", "llamafactory.train.tuner", "trl")


def find(stage: str) -> Backend:
    """Return the LLaMA-Factory that runs a stage."""
    if stage != "ppo":
        return llamafactory.find()
    python = environments.python(ppo())
    if python is None:
        raise UsageError(
            f"ppo runs in LLaMA-Factory {PPO_VERSION}, which needs an environment of its own "
            "(2.3 GB); `train setup ppo` builds it"
        )
    # What newer releases of datasets keep in their cache, its release cannot read.
    more = {"HF_DATASETS_CACHE": str(environments.folder(ppo()) / "datasets")}
    return Backend(str(python), PPO_VERSION, more=more)


def ppo() -> Environment:
    """Return the environment that ppo runs in."""
    return Environment(
        name="ppo",
        purpose=f"ppo, in LLaMA-Factory {PPO_VERSION}",
        steps=(
            # Its own requirements name no build of torch; without the one that is here, pip
            # would take the newest for GPUs on a machine that has none.
            (_torch(), f"llamafactory=={PPO_VERSION}", "pyarrow<22"),
        ),
        imports=_PPO_IMPORTS,
        gigabytes=3.0,
    )


def _torch() -> str:
    """Return the requirement that brings the torch of this environment."""
    try:
        return f"torch=={importlib.metadata.version('torch').partition('+')[0]}"
    except importlib.metadata.PackageNotFoundError:
        return "torch"


def readable_by_ppo(model: Path) -> Path:
    """Return a folder of the model that the older transformers of ppo reads rightly.

    What transformers 5 saves names a tokenizer class that older ones refuse, and keeps the base of
    the rotary positions where they do not look: they would compute with another, and say nothing.
    """
    called = hashlib.sha256(str(model.resolve()).encode()).hexdigest()[:16]
    folder = environments.folder(ppo()) / "models" / called
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for each in model.iterdir():
        if each.name in older_readers.EDITED:
            shutil.copyfile(each, folder / each.name)
        elif each.is_file():
            (folder / each.name).symlink_to(each.resolve())
    if older_readers.for_older_readers(folder):
        return folder
    shutil.rmtree(folder)
    return model
