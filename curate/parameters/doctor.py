"""Parameters of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.errors import UsageError, check_one_of
from curate.parameters.option import option, trust_remote_code

STAGES = ("pt", "sft", "rm", "dpo", "kto")


@dataclass(frozen=True)
class DoctorParams:
    """How a data set is judged, and whether it is written anew."""

    dataset_dir: str | Path | None = option(None, "Folder of dataset_info.json.", command=False)
    stage: str | None = option(
        None, "Default: the one the entry is meant for.", metavar="|".join(STAGES)
    )
    model: str | None = option(None, "Whose tokenizer measures what --cutoff-len leaves.")
    cutoff_len: int | None = option(None, "Tokens of a row, as in the training.", metavar="N")
    template: str = option(
        "auto",
        "LLaMA-Factory's, as in the training; own: the tokenizer's.",
        metavar="auto|chatml|default|alpaca|empty|own",
    )
    no_packing: bool = option(False, "Stage pt: rows are cut, not packed.")
    fix: bool = option(False, "Write NAME_fixed, with every row that can be used.")
    output: str | Path | None = option(
        None, "Folder for --fix; that of dataset_info.json, else data.", metavar="DIR"
    )
    trust_remote_code: bool = trust_remote_code()

    def __post_init__(self) -> None:
        """Refuse what goes with no data set."""
        if self.stage is not None:
            check_one_of("--stage", self.stage, STAGES)
        alone = self.model is None and self.template != "auto"
        if alone or (self.model is None) != (self.cutoff_len is None):
            raise UsageError(
                "--model, --cutoff-len and --template go together: give model and length"
            )
        if self.cutoff_len is not None and self.cutoff_len < 1:
            raise UsageError(f"--cutoff-len {self.cutoff_len}: allowed are whole numbers from 1")
