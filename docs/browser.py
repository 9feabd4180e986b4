"""A headless Chromium, driven by its own protocol through a pair of pipes."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe"),
)
_KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "ArrowDown": 40, "Tab": 9, " ": 32}


def find() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser; `requests` are the addresses that it asked for."""

    def __init__(self, into: int, out: int):
        self._into, self._out = into, out
        self._rest, self._count, self._session = b"", 0, None
        self.requests: list[str] = []
        self.errors: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict:
        self._count += 1
        message = dict(id=self._count, method=method, params=parameters)
        if self._session:
            message["sessionId"] = self._session
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while True:
            found = self._receive()
            if found.get("id") == self._count:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return found["result"]

    def _receive(self) -> dict:
        while b"\0" not in self._rest:
            self._rest += os.read(self._out, 1 << 20) or b'{"method":"gone"}\0'
        text, _, self._rest = self._rest.partition(b"\0")
        found = json.loads(text)
        match found.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(found["params"]["request"]["url"])
            case "Runtime.exceptionThrown":
                details = found["params"]["exceptionDetails"]
                self.errors.append(json.dumps(details.get("exception", details)))
            case "Log.entryAdded" if found["params"]["entry"]["level"] == "error":
                self.errors.append(json.dumps(found["params"]["entry"]))
            case "gone":
                raise RuntimeError("The browser has ended.")
        return found

    def resize(self, width: int, height: int) -> None:
        metrics = dict(width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setDeviceMetricsOverride", **metrics)

    def prefer(self, scheme: str) -> None:
        """Dark or light, as far as the page asks what the reader prefers."""
        feature = dict(name="prefers-color-scheme", value=scheme)
        self.send("Emulation.setEmulatedMedia", features=[feature])

    def go(self, url: str, script: bool = True) -> None:
        self.send("Emulation.setScriptExecutionDisabled", value=not script)
        self.send("Page.navigate", url=url)
        self.wait(
            "document.readyState === 'complete' && location.href !== 'about:blank'"
        )

    def evaluate(self, expression: str) -> Any:
        given = dict(expression=expression, returnByValue=True, awaitPromise=True)
        found = self.send("Runtime.evaluate", **given)
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"]))
        return found["result"].get("value")

    def wait(self, condition: str, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {condition}")
            time.sleep(0.02)

    def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                given = dict(key=key, code=key, windowsVirtualKeyCode=_KEYS[key])
                self.send("Input.dispatchKeyEvent", type=kind, **given)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            given = dict(x=x, y=y, button="left", clickCount=1)
            self.send("Input.dispatchMouseEvent", type=kind, **given)

    def touch(self, x: float, y: float) -> None:
        self.send(
            "Input.dispatchTouchEvent", type="touchStart", touchPoints=[dict(x=x, y=y)]
        )
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def screenshot(self, path: Path, whole: bool = True) -> None:
        given = dict(format="png", captureBeyondViewport=whole)
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            given["clip"] = size | dict(scale=1)
        data = self.send("Page.captureScreenshot", **given)["data"]
        path.write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def opened(executable: str) -> Iterator[Browser]:
    """A browser with a profile of its own, which goes when it ends."""
    theirs_in, into = os.pipe()
    out, theirs_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The browser reads the pipe 3 and writes 4, whatever numbers they have here.
        shell = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
        command = [executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(into, out)
        finally:
            process.terminate()
            process.wait()
            os.close(into)
            os.close(out)
