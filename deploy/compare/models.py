"""From what stands behind --base, --tuned and --judge to what answers and judges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import ModelError, UsageError
from curate.models.generation.server import is_address
from deploy.compare.answers import Kept, check_reachable
from deploy.compare.judging import Judge

if TYPE_CHECKING:
    from curate.models.protocols import Generator


def load_side(option: str, name: str) -> Generator:
    """Return one of the two models; its weights are loaded when it is first asked.

    Args:
        option: That it was given with.
        name: See curate.models.generation.load.load_generator().

    Raises:
        UsageError: A folder without a model in it.
        ModelError: There is no such model, or nothing listens at its address.
    """
    from curate.models.generation.load import load_generator

    check_reachable(name)
    folder = Path(name).expanduser()
    if folder.is_dir() and not _holds_model(folder):
        raise UsageError(
            f"{option} {name}: no model in this folder (neither config.json nor "
            "adapter_config.json); give the folder of a run, such as saves/NAME, or a merged model"
        )
    try:
        return load_generator(name)
    except ModelError as error:
        raise ModelError(f"{option}: {error}") from error


def _holds_model(folder: Path) -> bool:
    return any((folder / each).is_file() for each in ("config.json", "adapter_config.json"))


def doubts_of(judge: str | None) -> list[str]:
    """Return what to know of a judge before its verdicts are believed, a sentence each.

    Args:
        judge: As typed, None without one.
    """
    if judge != "pairs":
        return []
    return [
        "the ranker pairs learned from revised answers: it knows how answers are written and no "
        "facts, and a longer answer can please it more than a right one. Read some pairs before "
        "you believe it"
    ]


def load_judge(name: str, mark: str) -> tuple[Judge, list[Kept]]:
    """Return the judge of that name, and the replies that mean nothing once all is written.

    Args:
        name: A ranker or reward model, or the address of a server with OpenAI's interface.
        mark: What a server's replies are kept under.

    Raises:
        ModelError: There is no such judge, or nothing listens at its address.
    """
    if is_address(name):
        from curate.models.generation.load import load_generator
        from deploy.compare.judge_model import ModelJudge

        check_reachable(name)
        try:
            model = load_generator(name)
        except ModelError as error:
            raise ModelError(f"--judge: {error}") from error
        kept = Kept(model.fingerprint, f"judge {mark}")
        return ModelJudge(model, kept), [kept]
    from curate.models.ranking.load import load_reward
    from deploy.compare.judge_reward import RewardJudge

    try:
        return RewardJudge(load_reward(name)), []
    except ModelError as error:
        raise ModelError(
            f"--judge: {error}. A model that answers can judge, too: http://HOST:PORT/v1#MODEL"
        ) from error
