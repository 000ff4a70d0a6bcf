"""How much memory a process takes for itself."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path


def own_memory(process: subprocess.Popen[bytes]) -> int:
    """Return the most megabytes that a process had for itself, files in memory not counted."""
    most = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        for line in status.splitlines():
            if line.startswith("RssAnon:"):
                most = max(most, int(line.split()[1]))
        time.sleep(0.005)
    return most // 1024
