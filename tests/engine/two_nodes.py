"""`python -m tests.engine.two_nodes FOLDER`: a cluster of two nodes, of which one is killed."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil

from curate.engine.crews import Crews
from curate.engine.local import LocalEngine
from curate.errors import UsageError
from curate.parameters.engine import EngineParams
from tests.engine.workers import computed_by, squaring


def node(*how: str) -> subprocess.Popen[bytes]:
    """Start a node with room for one worker."""
    line = [sys.executable, "-m", "ray.scripts.scripts", "start", *how, "--num-cpus", "1"]
    return subprocess.Popen(
        [*line, "--object-store-memory", str(80 << 20), "--block"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill(node: subprocess.Popen[bytes]) -> None:
    """Kill a node with all its processes."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(node.pid)
        for each in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                each.kill()
    node.wait()


def main(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    nodes = [node("--head", "--port", str(port), "--include-dashboard", "false")]
    try:
        crews = None
        limit = time.monotonic() + 120
        while crews is None or crews._crew.size < 2:
            assert time.monotonic() < limit, "no cluster of two nodes"
            if crews:
                crews.close()
            crews = Crews(EngineParams(engine="ray", address=address), kept=True)
            with suppress(UsageError), crews._opened(0, 0):
                if len(nodes) == 1:
                    nodes.append(node("--address", address))
            crews = crews if crews._crew else None
            time.sleep(1)

        def kill_a_node() -> None:
            while len(computed_by(folder / "w")) < 2:
                time.sleep(0.02)
            kill(nodes[1])

        threading.Thread(target=kill_a_node, daemon=True).start()
        with closing(crews):
            engine = LocalEngine(folder / "j", say=print, crews=crews)
            values = engine.run(squaring(folder / "w", 2000), 2000).tolist()
        assert values == [float(number**2) for number in range(2000)]
        os.environ["RAY_AUTH_TOKEN"] = "another"
        with closing(Crews(EngineParams(engine="ray", address=address), kept=True)) as crews:
            try:
                crews.machine(crews.settled(squaring(folder / "w").model))
            except UsageError as error:
                sys.stdout.write(f"{error}\n")
    finally:
        for started in nodes:
            kill(started)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
