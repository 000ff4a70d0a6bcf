"""Bring Chromium to the tests, where that is possible unasked: python -m tests.bring_browser.

Debian's package is installed where this is root and there is no browser on the PATH. Otherwise one
line says what is skipped; it is never an error. A binary from a package registry was looked for:
that of npm (@sparticuz/chromium, made for AWS Lambda) starts only with options of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.browser import NONE, found

_SECONDS = 900  # of a slow mirror


def bring() -> str:
    """Return what is to be said of it; '' where there is a browser, then or now."""
    if found():
        return ""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid():
        return f"{NONE}. As root on Debian this installs it: apt-get install chromium"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print("installing Debian's chromium for the tests of pages", flush=True)
    said = ""
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        try:
            run = subprocess.run(
                [apt, "-qq", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            said = str(error)
            continue
        said = "" if run.returncode == 0 else f"{run.stderr.strip()[-200:]}"
    if found():
        return ""
    return f"{NONE}. apt-get install chromium did not bring one: {' '.join(said.split())}"


if __name__ == "__main__":
    if line := bring():
        print(f"\n***** {line} *****\n", flush=True)
