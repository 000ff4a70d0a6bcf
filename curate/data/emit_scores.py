"""Write scores and their manifest beside the data, without a data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.data.emit import told
from curate.llamafactory.dataset_info import locked
from curate.system.files import sha256_of
from curate.system.manifest import to_json


def write_scores(folder: Path, name: str, scores: pa.Table, manifest: dict[str, Any]) -> list[str]:
    """Write NAME.scores.parquet and NAME.manifest.json; return the names of the files.

    Both are written under other names first and then renamed, the manifest last.
    """
    table, last = folder / f"{name}.scores.parquet", folder / f"{name}.manifest.json"
    parts = [path.with_name(f".{path.name}.part") for path in (table, last)]
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            try:
                pq.write_table(scores, parts[0])
                output = {"file": table.name, "sha256": sha256_of(parts[0]), "rows": len(scores)}
                parts[1].write_text(to_json({**manifest, "output": output}), encoding="utf-8")
            except BaseException:
                for part in parts:
                    part.unlink(missing_ok=True)
                raise
            os.replace(parts[0], table)
            os.replace(parts[1], last)
    return [table.name, last.name]
