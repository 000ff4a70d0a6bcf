"""Data sets of the Hugging Face hub, as files of this machine; see curate.data.hub_address."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from curate.data.hub_address import SYNTAX, Address, address, chosen
from curate.errors import DataError

_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\..*)")
_SECONDS = 5.0  # to find out whether the hub can be reached at all


def hub_files(given: object) -> list[tuple[str, Path]]:
    """Return the files of an address, fetched, each with the name to call it by.

    The hub is asked for the newest revision first; where it cannot be reached, what an earlier
    run or another program has left in the hub's cache is taken. Files go there unchanged, so
    memory does not grow with their size.

    Args:
        given: As typed.

    Raises:
        UsageError: It is no address, or does not say which of several splits.
        DataError: No network and not in the cache, no such data set or file, or nothing to read.

    Example:
        >>> hub_files("hf://owner/name:train")
        [('owner/name/train.json', PosixPath('.../snapshots/6c1b…/train.json'))]
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    wanted = address(given)
    asked: dict[str, Any] = {"revision": wanted.revision or None}
    try:
        api = HfApi()
        info = _within(
            _SECONDS, lambda: api.dataset_info(wanted.repo, timeout=_SECONDS / 2, **asked)
        )
    except Exception as error:  # noqa: BLE001 - httpx, requests or hub errors, by hub version
        return _cached(wanted, error)
    names = chosen(wanted, [each.rfilename for each in info.siblings or ()])
    found = []
    for name in names:
        try:
            # By its name and not by its commit: so that it is found by that name without a network.
            local = hf_hub_download(wanted.repo, name, repo_type="dataset", **asked)
        except EntryNotFoundError as error:
            raise DataError(f"{wanted}: the hub lists '{name}' and does not have it") from error
        except Exception as error:  # noqa: BLE001 - as above
            raise DataError(
                f"{wanted}: '{name}' could not be fetched: {_why(wanted, error)}"
            ) from error
        found.append((f"{wanted.repo}/{name}", Path(local)))
    return found


def _cached(wanted: Address, error: Exception) -> list[tuple[str, Path]]:
    """Return what lies in the hub's cache; say why there is nothing better."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(
                wanted.repo,
                repo_type="dataset",
                revision=wanted.revision or None,
                local_files_only=True,
            )
        )
    except Exception as missing:  # noqa: BLE001 - hub errors or ValueError, by hub version
        raise DataError(f"{wanted} could not be fetched: {_why(wanted, error)}") from missing
    inside = (path for path in folder.rglob("*") if path.is_file())
    names = chosen(wanted, sorted(path.relative_to(folder).as_posix() for path in inside))
    _refuse_holes(wanted, names)
    return [(f"{wanted.repo}/{name}", folder / name) for name in names]


def _refuse_holes(wanted: Address, names: Sequence[str]) -> None:
    """Refuse a set of which some shards were never fetched: rows would be missing unseen."""
    shards: dict[tuple[str, str, str], set[str]] = {}
    for name in names:
        if found := _SHARD.fullmatch(name):
            start, number, count, end = found.groups()
            shards.setdefault((start, count, end), set()).add(number)
    for (start, count, end), there in shards.items():
        if len(there) < int(count):
            raise DataError(
                f"{wanted}: the hub cannot be reached, and of {start}-…-of-{count}{end} only "
                f"{len(there)} of {int(count)} are in its cache; give the command again with a "
                "network"
            )


def _within(seconds: float, ask: Callable[[], Any]) -> Any:
    """Return ask(); TimeoutError if it takes longer, whatever its own time limits add up to."""
    given: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(ask())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not given:
        raise TimeoutError
    return given[0]


def _why(wanted: Address, error: BaseException) -> str:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return "its owner wants terms accepted on its page first; then `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision; leave @… out for the newest"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such data set, or it is private (`hf auth login`)"
    if isinstance(error, HFValidationError):
        return f"that is no valid hub id; allowed is {SYNTAX}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, HfHubHTTPError) and status:
        return f"the hub answered {status}; try again later"
    if isinstance(error, OSError) and error.errno == 28:
        return "the disk is full (HF_HOME names the folder it goes to)"
    return (
        "the hub cannot be reached; fetch the files on a machine that reaches it, from "
        f"huggingface.co/datasets/{wanted.repo}, and give them, or set HF_ENDPOINT to a mirror"
    )
