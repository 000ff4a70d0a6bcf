"""Workers as Ray actors, on a cluster that runs already or on one of this machine alone.

What Ray is told by the environment is there while this module needs it, and then as it was.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from curate.engine.crew import DIED, DONE, READY, Event
from curate.engine.worker import Job, Worker, machine, sendable
from curate.errors import CuratrainError, ModelError, UsageError
from curate.parameters.engine import EngineParams
from curate.scorers.contract import Work

if TYPE_CHECKING:
    from curate.models.recipe import ModelRecipe

_PATIENCE = 120.0  # seconds without any worker
_ANSWER = 12  # seconds that a cluster may take to answer
_STORE = 80 << 20  # bytes of Ray's object store, of which batches need none
_QUIET: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}


class Actor(Worker):
    """A worker on a machine that may have another curate than the one that sends it work."""

    def prepare_for(self, curate: str, *how: Any) -> tuple[str, int]:
        """Load a model as prepare() does, for that version of curate."""
        if version("curatrain") != curate:
            raise ModelError(
                f"{socket.gethostname()} has curatrain {version('curatrain')}, and the machine "
                f"that starts its workers has {curate}: install the same on all"
            )
        return self.prepare(*how)

    def settled(self, recipe: ModelRecipe) -> tuple[ModelRecipe, str]:
        model = recipe.load()
        return model.recipe, machine(model)

    def compute(self, job: Job) -> bytes:
        outcome = sendable(self.outcome(job))
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class Actors:
    """A worker each, on whatever machine Ray finds room for it."""

    def __init__(self, params: EngineParams, say: Callable[[str], object]) -> None:
        self._workers: list[Any] = []
        self._asked: dict[Any, tuple[Any, int | None]] = {}  # whom, and which batch
        self._stack = ExitStack()
        try:
            self._ray = self._stack.enter_context(_connected(params, say))
            self.size, self._gpus = _room(self._ray, params, say)
        except BaseException:
            self._stack.close()
            raise

    def settled(self, recipe: ModelRecipe) -> tuple[ModelRecipe, str]:
        """Return a recipe with what a worker's machine decides, and that machine."""
        self._start()
        asked = [worker.settled.remote(recipe) for worker in self._workers]
        done, _ = self._ray.wait(asked, timeout=_PATIENCE)
        if not done:
            raise self._nobody()
        outcome = self._outcome(done[0])
        if isinstance(outcome, str):
            raise ModelError(f"a worker of Ray has ended before it could be asked ({outcome})")
        if isinstance(outcome, BaseException):
            raise outcome
        recipe, machine = outcome
        return recipe, machine

    def _start(self) -> None:
        """Start workers till there are as many as asked for."""
        # Ray's own replacements would have no model; calls come one after the other.
        how = {"num_cpus": 1, "num_gpus": self._gpus, "max_restarts": 0}
        while len(self._workers) < self.size:
            self._workers.append(self._ray.remote(Actor).options(**how).remote())

    def begin(self, work: Work) -> None:
        self._asked.clear()
        how = (work.model.recipe, 1, work.model.threads, work.dtype != "bytes")
        self._prepare = (version("curatrain"), *how)
        self._start()
        for worker in self._workers:
            self._tell(worker)
        self._since, self._ready = time.monotonic(), 0

    def send(self, worker: Any, job: Job) -> None:
        self._asked[worker.compute.remote(job)] = (worker, job.number)

    def events(self) -> list[Event]:
        done, _ = self._ray.wait([*self._asked], timeout=5.0)
        if not done and not self._ready and time.monotonic() - self._since > _PATIENCE:
            raise self._nobody()
        happened = []
        for asked in done:
            if asked not in self._asked:  # of a worker that has ended
                continue
            worker, number = self._asked.pop(asked)
            outcome = self._outcome(asked)
            if isinstance(outcome, str):
                self._asked = {key: own for key, own in self._asked.items() if own[0] != worker}
                self._ready -= number is not None
                self._since = time.monotonic()
                happened.append(Event(worker, DIED, outcome))
            elif number is None and not isinstance(outcome, BaseException):
                self._ready += 1
                happened.append(Event(worker, READY, outcome))
            else:
                happened.append(Event(worker, DONE, (number, outcome)))
        return happened

    def replace(self, worker: Hashable) -> None:
        self._workers.remove(worker)
        self._start()
        self._tell(self._workers[-1])

    def _tell(self, worker: Any) -> None:
        self._asked[worker.prepare_for.remote(*self._prepare)] = (worker, None)

    def close(self) -> None:
        self._workers.clear()
        self._stack.close()

    def _outcome(self, asked: Any) -> Any:
        """Return what a call gave, its error, or why its worker has ended, as text."""
        from ray.exceptions import RayError, RayTaskError

        try:
            return self._ray.get(asked)
        except RayTaskError as error:
            return error.cause if isinstance(error.cause, CuratrainError) else error
        except RayError as error:
            return _reason(error)

    def _nobody(self) -> UsageError:
        return UsageError(
            f"no worker of Ray has started within {_PATIENCE:.0f} s: {self.size} were asked for, "
            f"with a CPU and {self._gpus:g} GPUs each, and the cluster has "
            f"{_resources(self._ray.cluster_resources())}, of which "
            f"{_resources(self._ray.available_resources())} are free; give fewer --workers, or wait"
        )


def _reason(error: object) -> str:
    """Return the sentence of an error of Ray's that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = next((line for line in reversed(lines) if "Error" in line), " ".join(lines))
    return line.partition(". ")[0]


def _resources(there: dict[str, float]) -> str:
    return f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"


def _room(ray: Any, params: EngineParams, say: Callable[[str], object]) -> tuple[int, float]:
    """Return how many workers there can be, and the GPUs of each."""
    there = ray.cluster_resources()
    cpus, gpus = int(there.get("CPU", 0)), there.get("GPU", 0.0)
    each = (1.0 if gpus else 0.0) if params.gpus_per_worker is None else params.gpus_per_worker
    most = min(cpus, int(gpus / each)) if each else cpus
    if most < 1:
        raise UsageError(
            f"--gpus-per-worker {each:g}: the cluster has {_resources(there)}, which is not "
            "enough for one worker; give fewer, 0 for the CPU"
        )
    if (params.workers or 1) > most:
        say(f"the cluster has room for {most} of {params.workers} workers: {_resources(there)}")
    return min(params.workers or most, most), each


@contextmanager
def _connected(params: EngineParams, say: Callable[[str], object]) -> Iterator[Any]:
    """Yield Ray, connected; what it changes in this process is put back."""
    address = params.address or os.environ.get("RAY_ADDRESS")
    environment = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address:
        if not params.address:
            say(f"RAY_ADDRESS is set: connecting to the cluster at {address}")
        how: dict[str, Any] = {"address": address}
    else:
        how = {"address": "local", "include_dashboard": False, "object_store_memory": _STORE}
        # To stay on 127.0.0.1 is what Ray does where it knows of no clusters.
        environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # A token of its own, since Ray would write one into the home folder.
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with _put_back(environment):
        try:
            import ray
        except ImportError as error:
            raise UsageError(
                "--engine ray: Ray is not installed; give pip install 'curatrain[ray]'"
            ) from error
        if address:
            _check_answers(address)
        logging.getLogger("ray").setLevel(logging.CRITICAL)
        # Where Ray was imported before, it has looked at the environment.
        ray._raylet.Config.initialize("")
        ray._raylet.AuthenticationTokenLoader.instance().reset_cache()
        # Of workers that end we tell ourselves; Ray would do so on stdout.
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
        for last in (bool(address), True):
            try:
                ray.init(**how, **_QUIET)
                break
            except Exception as error:  # noqa: BLE001 - Ray raises whatever it has at hand
                if not last:  # Ray gives up after 30 s, which may be too few on a busy machine
                    continue
                if address:
                    raise _refused(address, _reason(error)) from error
                raise UsageError(
                    f"--engine ray: no cluster can be started here ({_reason(error)})"
                ) from error
    try:
        if not address and (where := ray.util.get_node_ip_address()) != "127.0.0.1":
            say(f"Ray listens on {where} and may be reached from there; it asks for a token")
        yield ray
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Refuse an address that Ray would wait at for minutes, or end this process for."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise UsageError(
            f"--address {address}: allowed is HOST:PORT of a cluster's head, such as "
            "10.0.0.1:6379; ray:// leads to a proxy, which workers cannot be reached through"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"--address {address}: no cluster answers there ({error}); `ray status` on its head "
            "says whether it runs"
        ) from error
    # What Ray does with a wrong token, or another server at the address, is seen in a process.
    tried = subprocess.run(
        [sys.executable, "-m", "curate.engine.actors", address],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "RAY_NUM_REDIS_GET_RETRIES": "3",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        raise _refused(address, _reason(tried.stdout) or f"no answer within {_ANSWER} s")


def _refused(address: str, why: str) -> UsageError:
    return UsageError(
        f"--address {address}: the cluster there cannot be used ({why}). One that has a token "
        "needs RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH here; Ray and Python have to be of its "
        "versions"
    )


@contextmanager
def _put_back(environment: dict[str, str]) -> Iterator[None]:
    """Set variables for a while; Ray sets others, and what is done on SIGTERM."""
    before, on_sigterm = dict(os.environ), signal.getsignal(signal.SIGTERM)
    os.environ.update(environment)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)


if __name__ == "__main__":
    import ray

    signal.alarm(_ANSWER)
    try:
        ray.init(sys.argv[1], **_QUIET)
        signal.alarm(0)
    except Exception as error:  # noqa: BLE001 - Ray raises whatever it has at hand
        sys.stdout.write(f"{error.__cause__ or error}")
        raise SystemExit(1) from None
