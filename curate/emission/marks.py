"""Marks: rows that somebody who looked at them wants kept or dropped, as a report's page saves.

    {"of": {"name": "huatuo_ifd", "sha256": "…"},
     "marks": {"35bb6cdee57bdaf5": "keep", "0c2f18be9a5d1e77": "drop"},
     "note": {"0c2f18be9a5d1e77": "a dose that harms"}}

`of` is the data set whose page was looked at, and the sha256 of its data file then, '' of a choice
in memory. Ids are of the content, so marks also hold for rows that the data set left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Rows
from curate.errors import DataError
from curate.llamafactory.dataset_info import data_file
from curate.system.files import content_sha256, sha256_of

KEEP, DROP = "keep", "drop"
_NAMED = 3  # rows that are gone


@dataclass(frozen=True)
class Marks:
    marks: dict[str, str]  # id of a row to `keep` or `drop`
    note: dict[str, str] = field(default_factory=dict)  # id of a row to what was noted of it
    of: str = ""  # name of the data set; '' for marks that come from no file
    file: str = "marks"  # where they come from, for people
    signed: str = ""  # the file's name and sha256, for the manifest

    def __post_init__(self) -> None:
        for id_, mark in self.marks.items():
            if mark not in (KEEP, DROP):
                raise DataError(f"{self.file}: row {id_}: {mark!r}; allowed are {KEEP} and {DROP}")

    def of_rows(self, rows: Rows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which rows are marked keep, and which drop, (n,) each.

        Raises:
            DataError: A marked row is none of them.
        """
        ids = list(self.marks | self.note)
        if gone := [id_ for id_ in ids if id_ not in rows]:
            names = ", ".join(gone[:_NAMED]) + ", …" * (len(gone) > _NAMED)
            whose = f"those that '{self.of}' was chosen from" if self.of else "the rows marked"
            raise DataError(
                f"{self.file}: {len(gone):,} of {len(ids):,} marked rows are not among these "
                f"{len(rows):,} rows: {names}; give {whose}"
            )
        keep, drop = np.zeros((2, len(rows)), dtype=bool)
        for id_, mark in self.marks.items():
            (keep if mark == KEEP else drop)[rows.places(id_)] = True
        return keep, drop


def read_marks(path: Path, folder: Path) -> Marks:
    """Return the marks of a file; `folder` is where the data set that they are of is registered.

    Raises:
        DataError: No such file, none of marks, or marks of another data set: of none that is
            registered there, or of one that has become another since.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"--marks {path}: {error.strerror}; give the file that a page saved"
        ) from error
    try:
        whole = json.loads(data.decode("utf-8-sig"))
        of, marks, note = whole["of"], whole["marks"], whole.get("note", {})
        name, sha256 = of["name"], of["sha256"]
        right = all(isinstance(each, dict) for each in (marks, note))
        texts = [name, sha256, *note.values()] if right else [None]
    except (ValueError, LookupError, TypeError, AttributeError):
        texts = [None]
    if not all(isinstance(each, str) for each in texts):
        raise DataError(
            f"{path.name} is no file of marks; allowed is the JSON that a report's page saves: "
            '{"of": {"name", "sha256"}, "marks": {id: "keep"|"drop"}, "note": {id: text}}'
        )
    made = Marks(marks, note, name, path.name, f"{path.name} {sha256_of(path)}")
    # The page of a choice that nobody has emitted is of no file.
    if sha256 and sha256 != (now := content_sha256(data_file(folder, name))):
        raise DataError(
            f"{path.name}: its marks are of another '{name}' (sha256 {sha256[:12]}…) than the one "
            f"in {folder} ({now[:12]}…); mark the rows of a new report"
        )
    return made
