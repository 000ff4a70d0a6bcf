"""Chromium for tests, spoken to over its pipe: the page as a person has it, policy and all."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def found() -> str | None:
    """Return the Chromium of this machine, if it has one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


CHROMIUM = found()
NONE = f"NO BROWSER: pages are not tested; put {' or '.join(NAMES)} on the PATH"
browser = pytest.mark.skipif(CHROMIUM is None, reason=NONE)
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
# The pipe is to be at 3 and 4.
_START = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)


class Tags(HTMLParser):
    """The tags of a page, each with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


class Page:
    """One tab. `requests`, and the console's `complaints`, are since a file was opened."""

    def __init__(self, commands: int, answers: int, downloads: Path) -> None:
        self._commands, self._answers, self._rest = commands, answers, b""
        self._number, self._session, self.downloads = 0, "", downloads
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            told = answer.get("params", {})
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            elif answer.get("method") == "Log.entryAdded":
                self.complaints.append(told["entry"]["text"])
            elif answer.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(told["exceptionDetails"]))

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + 60
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], until - time.monotonic())
            assert ready, "the browser says nothing"
            self._rest += os.read(self._answers, 1 << 20)
        message, self._rest = self._rest.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(self, path: Path, state: str = "", width: int = 1280, height: int = 900) -> None:
        """Open a file and wait until it is drawn, where the page says so itself."""
        self.requests, self.complaints = [], []
        self.send(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=path.as_uri() + (f"#{state}" if state else ""))
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def wait(self, condition: str) -> None:
        until = time.monotonic() + 30
        while not self.value(f"Boolean({condition})"):
            assert time.monotonic() < until, f"never: {condition}"
            time.sleep(0.02)

    def value(self, expression: str) -> Any:
        """Return what an expression comes to in the page, as JSON has it."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        text = key if len(key) == 1 else ""
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def mouse(self, kind: str, x: float, y: float, *, pressed: bool = True) -> None:
        """Press, move or release the mouse: kind is mousePressed, mouseMoved or mouseReleased."""
        button = {"button": "left", "buttons": 1, "clickCount": 1} if pressed else {}
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def downloaded(self, name: str) -> str:
        """Wait for a file that the page saves; return what is in it."""
        until = time.monotonic() + 30
        while not (self.downloads / name).exists():
            assert time.monotonic() < until, f"{name} is not saved"
            time.sleep(0.02)
        return (self.downloads / name).read_text(encoding="utf-8")

    def prefer(self, scheme: str = "", media: str = "") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", media=media, features=features)

    def picture(self, path: Path) -> None:
        taken = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    def printed(self, path: Path) -> None:
        taken = self.send(
            "Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.7
        )
        path.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def opened_browser(folder: Path) -> Iterator[Page]:
    """Start Chromium with a profile of its own in a folder, and end it."""
    theirs, commands = os.pipe()
    answers, ours = os.pipe()
    low = theirs, ours
    # Below ten, one end could lie where the other is to be.
    theirs, ours = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in low)
    for end in low:
        os.close(end)
    started = [sys.executable, "-c", _START, str(theirs), str(ours), str(CHROMIUM)]
    process = subprocess.Popen(
        [*started, *_OPTIONS, f"--user-data-dir={folder / 'profile'}"],
        pass_fds=(theirs, ours),
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    os.close(ours)
    try:
        yield Page(commands, answers, folder)
    finally:
        os.close(commands)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(answers)
