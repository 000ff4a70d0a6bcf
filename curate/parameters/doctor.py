"""Parameters of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.content import IDENTIFIERS, KINDS
from curate.errors import UsageError, check_one_of
from curate.parameters.option import check, option, refuse_unused, trust_remote_code

STAGES = ("pt", "sft", "rm", "dpo", "kto")

_ALL = "all"


@dataclass(frozen=True)
class DoctorParams:
    """How a data set is judged, and whether it is written anew."""

    dataset_dir: str | Path | None = option(None, "Folder of dataset_info.json.", command=False)
    stage: str | None = option(None, "Default: the one the entry is meant for.", allowed=STAGES)
    model: str | None = option(None, "Whose tokenizer measures what --cutoff-len leaves.")
    cutoff_len: int | None = option(
        None, "Tokens of a row, as in the training.", metavar="N", least=1
    )
    template: str = option(
        "auto",
        "LLaMA-Factory's, as in the training; own: the tokenizer's.",
        metavar="auto|chatml|default|alpaca|empty|own",
    )
    no_packing: bool = option(False, "Stage pt: rows are cut, not packed.")
    fix: bool = option(False, "Write NAME_fixed, with every row that can be used.")
    content: bool = option(
        False, "Look at what rows say instead: identifiers, refusals, cut answers, loops …"
    )
    mask: tuple[str, ...] = option(
        (),
        "With --content, write NAME_content without these identifiers: all, or any of "
        f"{', '.join(IDENTIFIERS)}.",
        metavar="KIND…",
    )
    drop: tuple[str, ...] = option(
        (),
        "With --content, write NAME_content without rows of these kinds: all, any of --mask, or of "
        f"{', '.join(KINDS[len(IDENTIFIERS) :])}.",
        metavar="KIND…",
    )
    output: str | Path | None = option(
        None, "Folder for what is written; that of dataset_info.json, else data.", metavar="DIR"
    )
    trust_remote_code: bool = trust_remote_code()

    def __post_init__(self) -> None:
        for name, allowed in (("mask", IDENTIFIERS), ("drop", KINDS)):
            object.__setattr__(self, name, _kinds(f"--{name}", getattr(self, name), allowed))
        if twice := set(self.mask) & set(self.drop) - {_ALL}:
            raise UsageError(f"--mask and --drop {min(twice)}: name it once, for one of them")
        refuse_unused(self, "content", mask=(True,), drop=(True,))
        if self.content and (self.fix or self.stage or self.model):
            raise UsageError(
                "--content looks at what rows say, and goes without --fix, --stage and --model"
            )
        check(self)
        if self.no_packing and (self.model is None or self.stage not in (None, "pt")):
            raise UsageError(
                "--no-packing: only rows of stage pt are packed, and --model with --cutoff-len "
                "measures them; give these, or leave it out"
            )
        alone = self.model is None and self.template != "auto"
        if alone or (self.model is None) != (self.cutoff_len is None):
            raise UsageError(
                "--model, --cutoff-len and --template go together: give model and length"
            )

    def masked(self) -> tuple[str, ...]:
        """Return the kinds that are masked."""
        return IDENTIFIERS if _ALL in self.mask else self.mask

    def dropped(self) -> tuple[str, ...]:
        """Return the kinds whose rows are left out; all of them but what is masked."""
        every = tuple(kind for kind in KINDS if kind not in self.masked())
        return every if _ALL in self.drop else self.drop


def _kinds(name: str, words: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    kinds = [kind.strip() for word in words for kind in word.split(",")]
    for kind in kinds:
        check_one_of(name, kind, (_ALL, *allowed))
    return tuple(kinds)
