"""A page in headless Chromium, used as people use it: with mouse and keyboard, over the DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"]


class Page:
    """An open page, and what it has done since."""

    def __init__(self, connection: websocket.WebSocket, session: str) -> None:
        self._connection = connection
        self._session = session
        self._numbers = itertools.count(1000)
        self.requests: list[str] = []
        """Addresses that it asked for, its own included."""
        self.complaints: list[str] = []
        """What stood in the console: errors, warnings, exceptions, blocked content."""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, "sessionId": self._session}
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer.get("method"), answer.get("params", {}))

    def _note(self, event: str | None, facts: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(facts["exceptionDetails"]["text"])
        elif event == "Log.entryAdded" and facts["entry"]["level"] in ("error", "warning"):
            self.complaints.append(facts["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(facts["args"]))

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def click(self, element: str) -> None:
        """Scroll an element (as JavaScript) into view and press the mouse in its middle."""
        self.value(f"({element}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.value(
            f"(() => {{ const b = ({element}).getBoundingClientRect(); return [b.left, b.top, b.width, b.height] }})()"
        )
        at = {"x": box[0] + min(box[2], 40) / 2, "y": box[1] + box[3] / 2}
        assert self.value(f"({element}).contains(document.elementFromPoint({at['x']}, {at['y']}))"), (
            "something covers it"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)
        self._settle()

    def _settle(self) -> None:
        """Let the page's own handlers run, some of which are told later."""
        self.value("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))")

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        codes = {"Enter": 13, "Tab": 9, "ArrowDown": 40, "Home": 36, "Backspace": 8}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **text)
        self._settle()

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])


@contextmanager
def opened(path: Path, profile: Path) -> Iterator[Page]:
    """A file of the disk in a browser of its own."""
    connection = None
    process = subprocess.Popen([str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}"], stderr=subprocess.DEVNULL)
    try:
        port = profile / "DevToolsActivePort"
        ends = time.monotonic() + 60
        while not (port.is_file() and port.read_text().count("\n")):
            assert time.monotonic() < ends, "Chromium did not start"
            time.sleep(0.05)
        number, address = port.read_text().split("\n")[:2]
        connection = websocket.create_connection(f"ws://127.0.0.1:{number}{address}", timeout=60, suppress_origin=True)
        target = _answer(connection, 1, "Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = _answer(connection, 2, "Target.attachToTarget", {"targetId": target, "flatten": True})
        page = Page(connection, attached["sessionId"])
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call("Page.navigate", url=path.as_uri())
        while page.value("document.readyState") != "complete":
            time.sleep(0.05)
        yield page
    finally:
        if connection:
            connection.close()
        process.kill()
        process.wait()


def _answer(connection: websocket.WebSocket, number: int, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
    while (answer := json.loads(connection.recv())).get("id") != number:
        pass
    return dict(answer["result"])
