"""What `curate report` can be set to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.parameters.option import option


@dataclass(frozen=True)
class ReportParams:
    """What a page is made of, and what is written beside it."""

    dataset_dir: str | Path = option("data", "Folder of dataset_info.json.", metavar="DIR")
    input: tuple[str | Path, ...] = option(
        (), "What it was made of, where the cache has it no more.", metavar="F…"
    )
    points: int = option(2000, "Rows on the map at most.")
    no_map: bool = option(False, "No map: nothing is embedded, the page is there at once.")
    table: bool = option(
        False, "Write NAME.map.parquet, too: embedding-atlas and Spotlight open it."
    )
