"""Which rows both models are asked, and which of them the tuned one was not trained on, proven.

A row is held out if no conversation in the data set that the model was trained on waits for an
answer where this row does; what cannot be proven is never called held out. Rows that say nearly
the same are not found: `curate dedup --against` finds those.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from curate.data.inputs import bundled_folder
from curate.data.read import read
from curate.data.rows import Row, Rows
from curate.errors import CuratrainError, DataError, UsageError
from curate.system.files import sha256_of
from curate.system.manifest import read_manifest
from curate.system.run_record import RUN, RunRecord, read_run
from deploy.compare.asking import Prompts, limited, prompts_of, read_rows
from deploy.output import portable, trained_in
from deploy.training_data import DataSet, data_set_of


def _prompt_digests(row: Row) -> Iterator[bytes]:
    """Yield a digest for each point at which a conversation waits for an answer, without spaces."""
    digest = hashlib.sha256()
    for turn in row.turns:
        text = f"{turn.role}\0{' '.join(turn.content.split())}\0"
        digest.update(text.encode("utf-8", "surrogatepass"))
        if turn.role == "user":
            yield digest.digest()[:16]


def _is_asked_in(sets: Iterable[Iterable[Row]]) -> Callable[[Row], bool]:
    """Return a function that tells whether a prompt is one of these rows'."""
    asked = frozenset(digest for rows in sets for row in rows for digest in _prompt_digests(row))
    return lambda row: not asked.isdisjoint([*_prompt_digests(row)][-1:])


def choose_prompts(
    prompts: Path | None,
    dataset: str | None,
    dataset_dir: Path | None,
    models: tuple[str, str],
    limit: int,
    seed: int,
) -> tuple[Prompts, list[str]]:
    """Return what is asked, and what the user should know of it.

    With a data set only rows that are not in it: of the prompts' file, else of the files that it
    was chosen from. Without one all prompts, marked as trained on or not where the run says so.
    """
    base, tuned = models
    folder, called = trained_in(tuned), portable(tuned)  # notes are told by the manifest, too
    run = read_run(folder)
    earlier = trained_before(run) if run else ""
    notes = []
    if run and run.state != "done":
        notes.append(f"the run {called} is not done but '{run.state}': it may not be what you mean")
    if run and run.model not in ("", base, os.path.abspath(base)):
        notes.append(
            f"the run was trained from '{portable(run.model)}', and --base is '{portable(base)}': "
            "if they are not "
            "the same model, the difference is not that of the training"
        )
    if dataset is None and prompts is not None:
        rows, seen = read_rows(prompts), None
        try:
            training = _training_set(folder, None, dataset_dir) if run else None
            seen = _is_asked_in(training.read()) if training else None
        except CuratrainError as error:
            unknown = "whether the tuned model was trained on these prompts cannot be told"
            notes.append(f"{unknown}: {error}")
        asked = prompts_of(rows, trained_on=seen) if seen else prompts_of(rows)
    elif dataset is None and earlier:
        raise UsageError(
            f"the run {tuned} went on from {earlier}, so no row can be proven to be held out; give "
            "--prompts FILE, or --dataset NAME to leave out the rows of that data set alone"
        )
    else:
        training = _training_set(folder, dataset, dataset_dir)
        seen = _is_asked_in(training.read())
        files = _read_sources(training) if prompts is None else [read_rows(prompts)]
        asked = prompts_of(*files, trained_on=seen, held_out=True)
    if earlier or (dataset and not run):
        # Nothing is proven then of what is not in the data set: only what is in it is known.
        doubted = (replace(one, trained_on=one.trained_on or None) for one in asked.prompts)
        asked = replace(asked, prompts=tuple(doubted))
        notes.append(
            f"the run went on from {earlier}: what that was trained on is not looked at"
            if earlier
            else f"the prompts are not in the data set '{dataset}'; that the tuned model was "
            f"trained on it and on nothing else is not known here: there is no {RUN}"
        )
    return limited(asked, limit, seed), notes


def trained_before(run: RunRecord) -> str:
    """Return what a run went on from that was trained as well, '' if it was a model as it came."""
    if run.parents.get("adapter"):
        return "an adapter that was trained before"
    trained = run.model and (trained_in(run.model) / RUN).is_file()
    return f"the run {portable(run.model)}" if trained else ""


def _training_set(model: Path, name: str | None, folder: Path | None) -> DataSet:
    """Return the data set that was named, else the run's; of the run's, its sha256 has to fit."""
    run = read_run(model)
    trained = run.dataset.get("name") if run else None
    if not (name or trained):
        other = "--dataset NAME for the rows of its source that are not in it"
        raise UsageError(f"no {RUN} says what it was trained on; give --prompts FILE, or {other}")
    if name and trained not in (None, name):
        other = f"trained on '{trained}'; rows that {name} left out may be in it"
        give = f"Give --dataset {trained}, or leave it away"
        raise UsageError(f"--dataset {name}: the tuned model was {other}. {give}")
    training = data_set_of(model, name, folder)
    if training.changed:
        changed = "is not what the model was trained on, it has changed since then"
        unproven = "what was held out cannot be proven. Give prompts with --prompts"
        where = portable(str(training.folder))
        raise DataError(f"data set '{training.name}' in {where} {changed}; {unproven}")
    return training


def _read_sources(training: DataSet) -> list[Rows]:
    folder = training.folder
    known: list[dict[str, Any]] = []
    for name in training.names:
        sources = (read_manifest(folder / f"{name}.manifest.json") or {}).get("sources")
        named = [s for s in sources if isinstance(s, dict)] if isinstance(sources, list) else []
        if not named or not all(s.get("name") and s.get("sha256") for s in named):
            unsaid = "its manifest does not say what its rows were chosen from"
            unproven = "no row can be proven to be held out; give prompts with --prompts F"
            raise UsageError(f"--dataset {name}: {unsaid}, so {unproven}")
        known += [source for source in named if source not in known]
    files = []
    for source in known:
        folders = (Path(), folder, folder.parent, bundled_folder() / "samples")
        paths = (place / source["name"] for place in folders)
        same = [p for p in paths if p.is_file() and sha256_of(p) == source["sha256"]]
        if not same:
            raise UsageError(
                f"--dataset {training.name}: its rows were chosen from {source['name']} (sha256 "
                f"{source['sha256'][:12]}…), neither here nor in {folder}; give it with --prompts"
            )
        form, fill, columns, roles = (
            source.get(key) or None for key in ("format", "fill", "columns", "roles")
        )
        files.append(read(same[0], form, fill, columns, roles))
    return files
