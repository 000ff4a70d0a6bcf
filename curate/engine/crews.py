"""Which workers compute: as the user has asked, else as this machine has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from curate.engine.actors import Actors
from curate.engine.crew import Crew, Here, Processes
from curate.errors import UsageError
from curate.models.protocols import Model
from curate.parameters.engine import RAY, EngineParams
from curate.system.processes import cores

if TYPE_CHECKING:
    from curate.models.recipe import ModelRecipe

_MANY = 20  # blocks of rows, whose tokens take longer than processes take to start
_MOST = 16


class Crews:
    """Workers by what was asked for; if `kept`, they stay for the next work until close()."""

    def __init__(
        self,
        params: EngineParams | None = None,
        kept: bool = False,
        say: Callable[[str], object] = str,
    ) -> None:
        self._params, self._kept, self._say = params or EngineParams(), kept, say
        self._crew: Crew | None = None
        self._machine = ""

    def settled(self, recipe: ModelRecipe) -> ModelRecipe:
        """Return a recipe with what the workers decide: device, dtype, size of a batch."""
        if 0 in (self._params.gpus, self._params.gpus_per_worker) and recipe.device == "auto":
            recipe = replace(recipe, device="cpu")
        if self._params.engine == RAY and not recipe.name.startswith(("http://", "https://")):
            with self._opened(0, 0) as crew:
                assert isinstance(crew, Actors)
                recipe, self._machine = crew.settled(recipe)
        return recipe

    def machine(self, model: Model) -> str:
        """Return the workers' machine, '' for this one."""
        return self._machine if model.device else ""

    @contextmanager
    def of(self, model: Model, batches: int) -> Iterator[Crew]:
        """Yield workers for so many batches of a model, which is loaded where it is not sent."""
        size, gpus = self._size(model)
        if size is None or not batches:
            if batches:
                model.prepare()
            with closing(Here(batches)) as here:
                yield here
            return
        with self._opened(size, gpus) as crew:
            yield crew

    @contextmanager
    def for_blocks(self, model: Model, blocks: int) -> Iterator[Crew]:
        """Yield workers that make so many blocks of rows into tokens; few are made here."""
        if self._params.engine == RAY or (self._params.workers and model.device == "cpu"):
            with self._opened(self._params.workers or 0, 0) as crew:
                yield crew
        elif blocks >= _MANY and cores() > 1:
            with closing(Processes(min(cores(), _MOST))) as processes:
                yield processes
        else:
            with closing(Here(1)) as here:
                yield here

    @contextmanager
    def _opened(self, size: int, gpus: int) -> Iterator[Crew]:
        if isinstance(self._crew, Processes) and self._crew.gpus < gpus:
            self.close()  # they were started for a model of the CPU
        if self._crew is None and self._params.engine == RAY:
            self._crew = Actors(self._params, self._say)
        elif self._crew is None:
            self._crew = Processes(size, gpus)
        try:
            yield self._crew
        finally:
            if not self._kept:
                self.close()

    def close(self) -> None:
        if self._crew is not None:
            self._crew.close()
        self._crew = None

    def _size(self, model: Model) -> tuple[int | None, int]:
        """Return how many processes compute, None for threads of this one, and their GPUs."""
        if not model.device:  # a server has the model, and requests are sent from here
            return None, 0
        if self._params.engine == RAY:
            return 0, 0
        gpus = 0
        if self._params.gpus or model.device == "cuda":
            import torch

            there = torch.cuda.device_count()
            gpus = there if self._params.gpus is None else self._params.gpus
            if gpus > there:
                raise UsageError(f"--gpus {gpus}: this machine has {there}; give as many or fewer")
        if model.device == "cpu":  # of a machine with GPUs, too: the bundled encoder knows none
            gpus = 0
        if self._params.workers is None and gpus < 2:
            return None, 0
        return self._params.workers or gpus, gpus
