"""The hubs that files come from, Hugging Face's and ModelScope: addresses, and fetching.

    hf://OWNER/NAME   ms://OWNER/NAME    a data set or a model, its newest revision
    ms://OWNER/NAME@REVISION             of a branch, a tag or a commit (`/` in its name as %2F)

What a data set's address may name besides, curate.data.hub_files tells. Nothing that comes from a
hub is run.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote

from curate.errors import UsageError
from curate.system.files import at_home

DATASET, MODEL = "dataset", "model"  # the kinds of repositories
# A path of the file system has one slash where the address had two.
_ADDRESS = re.compile(
    r"(?P<hub>hf|ms):/+(?:datasets/)?(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/:]+))?"
    r"(?:/(?P<path>.+)|:(?P<split>[\w.-]+))?/?"
)
# What would lie in the folder of runs is a run, also where there is none yet.
_MODEL_ID = re.compile(r"(?!saves/)\w[\w.-]*/\w[\w.-]*")
_SECONDS = 4.0  # to find out whether a hub can be reached at all
_Answer = TypeVar("_Answer")
Files = Mapping[str, Mapping[str, Any]]  # by name, with what its hub wants to be told on fetching


@dataclass(frozen=True)
class Address:
    """What a user typed; '' is the newest revision, the whole of it, all splits."""

    repo: str
    revision: str = ""
    path: str = ""
    split: str = ""
    hub: str = "hf"

    def __str__(self) -> str:
        parts = (("@", self.revision), ("/", self.path), (":", self.split))
        return f"{self.hub}://{self.repo}" + "".join(mark + part for mark, part in parts if part)


def is_hub(given: object) -> bool:
    """Tell whether a path is an address of a hub; a Path has lost one of the two slashes."""
    return str(given).startswith(("hf:/", "ms:/"))


def address(given: object) -> Address:
    """Return an address in its parts; UsageError if it is none."""
    typed = str(given)
    match = _ADDRESS.fullmatch(typed)
    if not match or ".." in unquote(typed):
        hub, _, rest = typed.partition(":")
        whole = f"{hub}://OWNER/NAME[@REVISION]"
        raise UsageError(f"{hub}://{rest.lstrip('/')}: allowed is {whole}[:SPLIT] or {whole}/PATH")
    parts = match.groupdict(default="")
    return Address(**{**parts, "revision": unquote(parts["revision"])})


def model_address(name: str) -> Address | None:
    """Return the address of a model of a hub, None for any other name.

    A bare OWNER/NAME is Hugging Face's, or ModelScope's where USE_MODELSCOPE_HUB says so, as it
    does to LLaMA-Factory.
    """
    if is_hub(name):
        model = address(name)
        if model.path or model.split:
            raise UsageError(
                f"{name}: a model is all of a repository; give {model.hub}://{model.repo}"
            )
        return model
    if not _MODEL_ID.fullmatch(name) or at_home(name).parent.is_dir():
        return None
    return Address(name, hub="ms" if wants_modelscope() else "hf")


def wants_modelscope() -> bool:
    """Tell whether the user takes from ModelScope what has a place on both hubs."""
    return os.environ.get("USE_MODELSCOPE_HUB", "").lower() in ("1", "true", "y")


class _HuggingFace:
    """Hugging Face's hub; what its files() and fetch() raise, why_not() puts in words."""

    site, home = "huggingface.co", "HF_HOME"
    away = "set HF_ENDPOINT to a mirror, give ms://OWNER/NAME if ModelScope has it"

    def files(self, kind: str, wanted: Address) -> Files:
        from huggingface_hub import HfApi

        asked = {"repo_type": kind, "revision": wanted.revision or None, "timeout": _SECONDS}
        info = _in_seconds(lambda: HfApi().repo_info(wanted.repo, **asked))
        return {file.rfilename: {} for file in info.siblings or ()}

    def fetch(self, kind: str, wanted: Address, files: Files) -> Path:
        """Return the folder of the files in the hub's own cache, fetched if they are not there."""
        from huggingface_hub import hf_hub_download

        # By the revision's name and not its commit: it is found by that name without a network.
        asked: dict[str, Any] = {"repo_type": kind, "revision": wanted.revision or None}
        local = {name: Path(hf_hub_download(wanted.repo, name, **asked)) for name in files}
        folders = {path.parents[name.count("/")] for name, path in local.items()}
        # One that was changed meanwhile has a folder for each commit.
        return folders.pop() if len(folders) == 1 else self.fetch(kind, wanted, files)

    def cached(self, kind: str, wanted: Address) -> Path | None:
        """Return the folder of what an earlier run left in the cache, without a network."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        asked: dict[str, Any] = {"repo_type": kind, "revision": wanted.revision or None}
        try:
            return Path(snapshot_download(wanted.repo, local_files_only=True, **asked))
        except (LocalEntryNotFoundError, ValueError) as error:
            # Of a repository that was never fetched whole, newer releases give it this way.
            folder = getattr(error, "snapshot_path", None)
            return Path(folder) if folder else None

    def models(self) -> Iterator[tuple[str, Path]]:
        from huggingface_hub.constants import HF_HUB_CACHE

        weights = Path(HF_HUB_CACHE).glob("models--*--*/snapshots/*/*.safetensors")
        for file in sorted(weights, key=lambda file: file.lstat().st_mtime):  # the newest last
            yield file.parts[-4].removeprefix("models--").replace("--", "/", 1), file.parent

    def refused(self, error: BaseException, wanted: Address, what: str) -> str:
        """Return what the hub has against it, '' if it said nothing that is known here."""
        from huggingface_hub import errors

        if isinstance(error, errors.GatedRepoError):
            return "its owner wants terms accepted on its page first; then `hf auth login`"
        if isinstance(error, errors.RevisionNotFoundError):
            return "it has no such revision; leave @… out for the newest"
        if isinstance(error, errors.RepositoryNotFoundError):
            return f"the hub has no such {what}, or it is private (`hf auth login`)"
        if isinstance(error, errors.HFValidationError):
            return "that is no valid hub id (owner/name)"
        return ""


class _ModelScope:
    site, home = "modelscope.cn", "MODELSCOPE_CACHE"
    away = (
        "set MODELSCOPE_ENDPOINT to one that can, give hf://OWNER/NAME if Hugging Face has it "
        "(HF_ENDPOINT names a mirror)"
    )

    def files(self, kind: str, wanted: Address) -> Files:
        import requests

        api, asked = self._api(), {"revision": wanted.revision or None}
        # Its client tries again for seconds what is refused at once.
        _in_seconds(lambda: requests.head(f"{api.legacy.endpoint}/api/v1", timeout=_SECONDS))
        # One page tells whether it answers; all pages of a large set may take their time.
        _in_seconds(lambda: api.list_repo_files(wanted.repo, kind, recursive=False, **asked))
        return {
            file.path: {"Path": file.path, "Sha256": file.sha256, "Size": file.size or None}
            for file in api.list_repo_files(wanted.repo, kind, **asked)
            if not file.is_dir
            and not PurePosixPath(file.path).is_absolute()
            and ".." not in PurePosixPath(file.path).parts
        }

    def fetch(self, kind: str, wanted: Address, files: Files) -> Path:
        asked = {"revision": wanted.revision or None, "file_list": list(files.values())}
        # Its bars are for people who look on.
        with nullcontext() if sys.stderr.isatty() else redirect_stderr(StringIO()):
            return Path(self._api().download_repo(wanted.repo, kind, **asked))

    def cached(self, kind: str, wanted: Address) -> Path | None:
        from modelscope_hub import CacheNotFound

        asked = {"revision": wanted.revision or None, "local_files_only": True}
        try:
            folder = Path(self._api().download_repo(wanted.repo, kind, **asked))
        except CacheNotFound:
            return None
        # It takes any revision for the newest, and what its older releases left for any revision.
        if "snapshots" in folder.parts:
            right = folder.as_posix().endswith(f"/snapshots/{wanted.revision or 'master'}")
        else:
            right = not wanted.revision
        return folder if right else None

    def models(self) -> Iterator[tuple[str, Path]]:
        cache = at_home(os.environ.get("MODELSCOPE_CACHE") or "~/.cache/modelscope")
        for file in cache.glob("models/*--*/snapshots/master/*.safetensors"):
            yield f"ms://{file.parts[-4].replace('--', '/', 1)}", file.parent

    def refused(self, error: BaseException, wanted: Address, what: str) -> str:
        from modelscope_hub import errors

        who = "MODELSCOPE_API_TOKEN says who you are"
        if isinstance(error, errors.NotExistError):
            revision = f" with a revision '{wanted.revision}'" if wanted.revision else ""
            return f"the hub has no such {what}{revision}, or it is private ({who})"
        if isinstance(error, errors.PermissionDeniedError | errors.AuthenticationError):
            return f"it is private, or its owner wants terms accepted on its page first ({who})"
        if isinstance(error, errors.FileIntegrityError):
            return "what came is not what the hub lists; try again later"
        return ""

    @staticmethod
    def _api() -> Any:
        from modelscope_hub import HubApi, HubConfig

        logging.getLogger("modelscope_hub").setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that MODELSCOPE_DOMAIN has a newer name
            # Without a token it would look for one in a pickle, and none is opened here.
            return HubApi(HubConfig(token=os.environ.get("MODELSCOPE_API_TOKEN", "")))


HUBS: Mapping[str, _HuggingFace | _ModelScope] = {"hf": _HuggingFace(), "ms": _ModelScope()}


def why_not(error: BaseException, kind: str, wanted: Address, without: str) -> str:
    """Return in one line why a hub gave nothing; `without` is what to do out of its reach."""
    hub = HUBS[wanted.hub]
    error = next(iter(getattr(error, "failed_files", {}).values()), error)  # of several, the first
    if isinstance(error, OSError) and error.errno == 28:
        return f"the disk is full ({hub.home} names the folder it goes to)"
    refused = hub.refused(error, wanted, "data set" if kind == DATASET else kind)
    status = getattr(getattr(error, "response", error), "status_code", None)
    answer = f"answered {status}; try again later" if status else "cannot be reached"
    return refused or f"the hub {answer}; {hub.away}, {without}"


def _in_seconds(ask: Callable[[], _Answer]) -> _Answer:
    """Return what asking gives; TimeoutError after four seconds, whatever its own limits add up to.

    A hub behind a silent firewall is tried at each of its dozen addresses in turn.
    """
    answers: list[_Answer] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    if raised:
        raise raised[0]
    if not answers:
        raise TimeoutError
    return answers[0]
