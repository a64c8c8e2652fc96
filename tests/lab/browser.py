# SPDX-License-Identifier: BSD-2-Clause
"""A headless Chromium, spoken to over its debugging pipe: no driver, no packages."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from .fetch import cache
from .util import LabError, Unavailable, locked, sh

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def axe():
    """The text of axe-core, the accessibility checker, fetched once; Unavailable when it cannot be had."""
    file = cache() / "axe.min.js"
    with locked(cache() / "axe.lock"):
        if not file.exists():
            if not shutil.which("npm"):
                raise Unavailable("axe-core cannot be fetched: there is no npm")
            with tempfile.TemporaryDirectory() as work:
                try:
                    sh("npm", "pack", "--loglevel=error", "axe-core@4", cwd=work, timeout=60, env={**os.environ, "npm_config_cache": f"{work}/cache"})
                    sh("tar", "-xzf", next(Path(work).glob("*.tgz")), "-C", work, "package/axe.min.js")
                except (LabError, OSError, subprocess.SubprocessError, StopIteration) as e:
                    raise Unavailable(f"axe-core cannot be fetched: {' '.join(str(e).split())[-200:]}") from None
                shutil.move(f"{work}/package/axe.min.js", file)
    return file.read_text()


class Browser:
    """One page; `inside` is a host of the lab in whose network namespace it runs.  A context manager."""

    def __init__(self, inside=None):
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if not program:
            raise Unavailable("there is no Chromium")
        self.profile = tempfile.mkdtemp(prefix="mhad-browser-")
        to, self.out = os.pipe()
        self.inp, back = os.pipe()
        enter = ["nsenter", f"--net=/proc/{inside.pid}/ns/net"] if inside else []
        # The pipe has to be 3 and 4.
        shell = f'exec 8<&{to} 9>&{back} && exec 3<&8 4>&9 && exec "$@"'
        self.proc = subprocess.Popen(
            ["bash", "-c", shell, "sh", *enter, program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
             "--disable-extensions", "--mute-audio", f"--user-data-dir={self.profile}", "--remote-debugging-pipe", "about:blank"],
            pass_fds=(to, back), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to)
        os.close(back)
        self.buf, self.serial, self.events, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.proc.pid, 9)
        self.proc.wait()
        os.close(self.inp)
        os.close(self.out)
        shutil.rmtree(self.profile, ignore_errors=True)

    # ---- the protocol
    def message(self, deadline):
        while b"\0" not in self.buf:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.inp], [], [], left)[0]:
                return None
            data = os.read(self.inp, 1 << 20)
            if not data:
                raise LabError("Chromium has ended")
            self.buf += data
        text, self.buf = self.buf.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, within=30, **params):
        self.serial += 1
        ask = {"id": self.serial, "method": method, "params": params, **({"sessionId": self.session} if self.session else {})}
        os.write(self.out, json.dumps(ask).encode() + b"\0")
        deadline = time.monotonic() + within
        while message := self.message(deadline):
            if message.get("id") == self.serial:
                if "error" in message:
                    raise LabError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)
        raise LabError(f"{method}: no answer in {within} s")

    def pump(self, seconds=0.05):
        deadline = time.monotonic() + seconds
        while message := self.message(deadline):
            self.events.append(message)

    # ---- what tests do
    def size(self, width, height=900, dark=False, script=True):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        return self

    def open(self, url):
        self.events.clear()
        result = self.call("Page.navigate", url=url)
        if result.get("errorText"):
            raise LabError(f"{url}: {result['errorText']}")
        deadline = time.monotonic() + 20
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            if time.monotonic() > deadline:
                raise LabError(f"{url} was not loaded in 20 s")
            self.pump()
        return self

    def js(self, text):
        result = self.call("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise LabError(result["exceptionDetails"]["exception"].get("description", "an exception"))
        return result["result"].get("value")

    def until(self, what, text, within=10.0):
        deadline = time.monotonic() + within
        while not (value := self.js(text)):
            if time.monotonic() > deadline:
                raise LabError(f"not in {within} s: {what}")
            self.pump()
        return value

    def key(self, name, code):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def shot(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))
        return path

    def complaints(self):
        """What the console has, and requests that went elsewhere or failed."""
        self.pump()
        found = []
        for e in self.events:
            p = e.get("params", {})
            if e.get("method") == "Runtime.exceptionThrown":
                found.append(p["exceptionDetails"].get("exception", {}).get("description", str(p)))
            elif e.get("method") == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
                found.append(str([a.get("value") for a in p["args"]]))
            elif e.get("method") == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
                found.append(f"{p['entry']['text']} {p['entry'].get('url', '')}")
        return found

    def requests(self):
        self.pump()
        return [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
