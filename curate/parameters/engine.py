"""Parameters of where models compute."""

from __future__ import annotations

from dataclasses import dataclass

from curate.parameters.option import check, option, refuse_unused

LOCAL, RAY = "local", "ray"


@dataclass(frozen=True)
class EngineParams:
    """Where models compute; the numbers are the same."""

    engine: str = option(
        LOCAL, "local: this machine; ray: a Ray cluster, or one here.", allowed=(LOCAL, RAY)
    )
    workers: int | None = option(
        None,
        "Processes that compute.",
        metavar="N",
        shown="one a GPU; none on one CPU or GPU",
        least=1,
    )
    gpus: int | None = option(
        None, "local: GPUs to use, 0 for the CPU.", metavar="N", shown="all there are", least=0
    )
    address: str | None = option(
        None, "ray: HOST:PORT of a running cluster.", metavar="A", shown="one is started here"
    )
    gpus_per_worker: float | None = option(
        None, "ray: GPUs of each worker.", metavar="N", shown="1 where there are any", least=0
    )

    def __post_init__(self) -> None:
        check(self)
        refuse_unused(self, "engine", gpus=(LOCAL,), address=(RAY,), gpus_per_worker=(RAY,))
