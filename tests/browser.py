"""Headless Chromium over the DevTools protocol, and a network that hears whoever asks it."""

from __future__ import annotations

import json
import os
import shutil
import socketserver
import subprocess
import threading
import time
from pathlib import Path

import pytest
from websocket import create_connection

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
browser_needed = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine: pages were not opened in a browser"
)

OWN = "browser.invalid"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-features=NetworkTimeServiceQuerying,OptimizationHints",
    # What the browser asks for on its own account goes to a name that can be told apart.
    f"--component-updater=url-source=http://{OWN}/",
    f"--gaia-url=http://{OWN}",
    "--remote-debugging-port=0",
)

# Code and text of keys that write no letter.
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "ArrowRight": (39, ""), "ArrowLeft": (37, ""),
        "ArrowDown": (40, ""), "Home": (36, ""), "End": (35, ""), " ": (32, " ")}  # fmt: skip

# What a page says about itself once it has finished drawing.
INSPECT = """
(async () => {
  const RAW = /:{3,}|\\{(cite|doc|ref|eq)\\}/g;
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  const all = (selector) => [...document.querySelectorAll(selector)];
  all("img").forEach(i => i.loading = "eager");
  await Promise.allSettled(all("img").map(i => i.decode()));
  return JSON.stringify({
    title: document.title,
    images: all("img").filter(i => !i.naturalWidth).map(i => i.src),
    undescribed: all("article img").filter(i => !i.alt).map(i => i.src),
    math: all(".math").filter(m => !m.querySelector("mjx-container")).map(m => m.textContent)
      .concat(all("mjx-merror").map(m => m.textContent)),
    rendered: all("mjx-container").length,
    formulas: window.MathJax ? [...MathJax.startup.document.math].map(m => m.math) : [],
    text: document.body.innerText,
    raw: document.querySelector("article")?.innerText.match(RAW) || [],
    links: all("a[href]").map(a => a.href),
    ids: all("[id]").map(e => e.id).concat(all("a[name]").map(a => a.name)),
    wide: document.documentElement.scrollWidth - window.innerWidth,
  });
})()
"""


class Network:
    """All of the network there is: a proxy that answers nothing and remembers what was asked."""

    def __init__(self) -> None:
        heard: list[str] = []

        class Ask(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line = self.rfile.readline().decode("latin-1").strip()
                if OWN not in line:
                    heard.append(line)

        self.heard = heard
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Ask)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Browser:
    """Headless Chromium over the DevTools protocol: open a page, hear what it complains about."""

    def __init__(self, folder: Path) -> None:
        self.network = Network()
        proxy = f"--proxy-server=127.0.0.1:{self.network.server.server_address[1]}"
        self.process = subprocess.Popen(
            [str(CHROMIUM), *FLAGS, proxy, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        port_file = folder / "DevToolsActivePort"
        for _ in range(600):
            if port_file.exists() and len(lines := port_file.read_text().splitlines()) == 2:
                break
            time.sleep(0.1)
        else:
            raise RuntimeError("chromium did not start within a minute")
        self.socket = create_connection(
            f"ws://127.0.0.1:{lines[0]}{lines[1]}", timeout=300, suppress_origin=True
        )
        self.events: list[dict] = []
        self.calls = 0
        self.session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params):
        self.calls += 1
        message = {"id": self.calls, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.calls:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def size(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def open(self, page: Path) -> dict:
        """Load a page and return what it says, with `complaints` and `requests` added."""
        self.events = []
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self.socket.recv()))
        told = json.loads(self.run(INSPECT))
        told["complaints"] = [c for c in map(_complaint, self.events) if c]
        told["requests"] = [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return told

    def press(self, *keys: str) -> None:
        """Press keys one after the other: names as in `KeyboardEvent.key`, or single letters."""
        for key in keys:
            code, text = KEYS.get(key, (ord(key.upper()[0]), key))
            named = {"key": key, "windowsVirtualKeyCode": code, "text": text}
            self.call("Input.dispatchKeyEvent", type="keyDown", **named)
            self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def dark(self, dark: bool) -> None:
        """What pages are told that their reader prefers."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def scripts(self, allowed: bool) -> None:
        """Whether the scripts of pages run."""
        self.call("Emulation.setScriptExecutionDisabled", value=not allowed)

    def run(self, script: str):
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def close(self) -> None:
        self.socket.close()
        os.killpg(self.process.pid, 9)
        self.process.wait()
        self.network.server.shutdown()


def _complaint(event: dict) -> str:
    params = event.get("params", {})
    if event["method"] == "Runtime.exceptionThrown":
        return str(params["exceptionDetails"])
    if event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
        return str([argument.get("value") for argument in params["args"]])
    if event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
        return f"{params['entry']['text']} {params['entry'].get('url', '')}"
    if event["method"] == "Network.loadingFailed" and not params.get("canceled"):
        return f"not loaded: {params.get('errorText')}"
    return ""
