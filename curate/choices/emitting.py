"""Writing what a recipe gave: a choice or a mixture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate import console
from curate.choices.selection import Selection
from curate.emission.emit import check_target, default_name, paths, write, write_scores
from curate.errors import DataError, UsageError
from curate.parameters.option import ending_of, refuse_below
from curate.system.manifest import read_manifest

if TYPE_CHECKING:
    from curate.mixture.mixed import Mixed

# What dropped every row is seldom the rows' fault where it is one of these.
_LOOK_AT = {
    "ifd_ge_1": (
        "An IFD of 1 or more says that the prompt makes the response no likelier: see that "
        "--template is what --model was trained with, and that the model speaks the rows' language"
    ),
    "non_finite": (
        "The model gave NaN or infinite numbers: try --dtype float32 where there is that option, "
        "or take another model"
    ),
    "template_refused": "The model's chat template takes none of them: give another --template",
}


def nothing_chosen(given: object) -> UsageError:
    """Return the error for what is neither a choice nor a mixture."""
    return UsageError(
        f"{type(given).__name__} is nothing that a recipe has chosen; allowed is a Selection or a "
        "Mixed, as curate.ifd(), curate.dedup() and curate.mix() give them"
    )


def emit(
    selection: Selection | Mixed,
    output: str | Path = "data",
    name: str | None = None,
    overwrite: bool = False,
    shard_rows: int = 0,
) -> list[Path]:
    """Write the kept rows, their scores, the dataset_info.json entry and the manifest.

    Args:
        selection: What a recipe gave: a choice, or a mixture.
        output: Folder.
        name: Of the data set; the first source's stem and the recipe if not given.
        overwrite: Replace a data set of that name that another recipe made.
        shard_rows: Write a folder, so many rows in each of its files; 0 writes one file.

    Raises:
        UsageError: It is nothing that a recipe gave, or `shard_rows` is below 0.
        DataError: Every row was dropped.
        OutputError: The folder cannot be written, or the name is another recipe's.

    Example:
        >>> curate.emit(cherry, "data", name="medical_cherry")
        [PosixPath('data/medical_cherry.jsonl'), ...]
    """
    folder = Path(output)
    refuse_below(0, shard_rows=shard_rows)
    if not isinstance(selection, Selection):
        if not hasattr(selection, "emit_to"):
            raise nothing_chosen(selection)
        name = name or selection.name
        check_target(folder, name, selection.recipe, overwrite, shard_rows)
        if not overwrite:
            made_of = {part.source.sha256 for part in selection.pool.parts}
            say_what_is_replaced(folder, name, made_of)
        return [folder / file for file in selection.emit_to(folder, name, shard_rows)]
    name = name or default_name(
        Path(selection.rows.sources[0].name), ending_of(selection.recipe, selection.params)
    )
    check_target(folder, name, selection.recipe, overwrite, shard_rows)
    table, counts = selection.score_lines(), selection.summary()
    if not counts.kept:
        reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in counts.dropped.items())
        advice = [_LOOK_AT[reason] for reason in counts.dropped if reason in _LOOK_AT]
        (scores,) = write_scores(folder, f"{name}_none_kept", table)
        raise DataError(
            f"no row is left to write: of {counts.read:,} rows read, {reasons}. "
            f"{'; '.join(advice) or 'Give other rows, or other values for what the reasons name'}. "
            f"No data set was written; what every row got is in {folder / scores}"
        )
    kept = selection.choice.kept
    if not overwrite:
        say_what_is_replaced(folder, name, {each.sha256 for each in selection.rows.sources})
    files = write(folder, name, selection.rows, kept, table, selection.manifest(), shard_rows)
    return [folder / file for file in files]


def say_what_is_replaced(folder: Path, name: str, made_of: set[str]) -> None:
    """Tell that a data set of the same name and recipe, but of other rows, is gone with this."""
    *_, manifest = paths(folder, name)
    before = (read_manifest(manifest) or {}).get("sources") or []
    if before and {each.get("sha256") for each in before} != made_of:
        others = [each for each in before if each.get("sha256") not in made_of] or before
        files = ", ".join(dict.fromkeys(str(each.get("name")) for each in others))
        console.say(
            f"note: '{name}' was made of other rows until now ({files}), and is replaced; --name "
            "keeps both"
        )
