"""The data set that a model was trained on, or one that is named, as LLaMA-Factory reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.data.read import read
from curate.data.rows import Rows
from curate.errors import UsageError
from curate.llamafactory.dataset_info import located, read_registry
from curate.system.files import sha256_of_all
from curate.system.run_record import read_run
from deploy.output import noted


@dataclass(frozen=True)
class DataSet:
    names: tuple[str, ...]  # in dataset_info.json; a run may be trained on several
    folder: Path  # of that file
    trained_on: bool = False  # as run.json says, or what `deploy` noted
    changed: bool = False  # since then

    @property
    def name(self) -> str:
        return ",".join(self.names)

    @property
    def why(self) -> str:
        changed = " (changed since then)" * self.changed
        which = f"which it was trained on{changed}" if self.trained_on else "as given"
        here = self.folder.is_relative_to(Path.cwd())
        shown = self.folder.relative_to(Path.cwd()) if here else self.folder
        return f"in {shown}, {which}"

    def read(self) -> list[Rows]:
        """Return the rows of each: they may be of different shapes."""
        return [read(dataset=name, dataset_dir=self.folder) for name in self.names]


def data_set_of(model: Path, name: str | None, folder: Path | None) -> DataSet:
    """Return the data set of a name, else the one that a model was trained on."""
    run = read_run(model)
    trained = noted(model).get("dataset") or (run.dataset if run else {})
    trained_on = name in (None, trained.get("name"))
    where = folder or Path(str((trained_on and trained.get("dataset_dir")) or "data"))
    name = name or trained.get("name")
    if not name:
        known = ", ".join(list(read_registry(where))[:8]) or "none yet; `curate` makes them"
        unsaid = "nothing says what this model was trained on"
        raise UsageError(f"{unsaid}; give --dataset NAME ({where} has {known})")
    names = tuple(part.strip() for part in name.split(","))
    places = [located(where, each) for each in names]
    files = [place for place in places if isinstance(place, Path)]
    digest = sha256_of_all(files) if len(files) == len(places) else None
    known_digest = trained.get("data_sha256") if trained_on else None
    changed = bool(digest and known_digest) and digest != known_digest
    return DataSet(names, where, trained_on=trained_on, changed=changed)
