"""An alarm at the change, and not before it is sure."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from cardiomesh.watch import Alarms, Check, Report, Webhook


def report(wrong: str = "") -> Report:
    return Report((Check("models", "", 1.0, "3 ready"), Check("analysis", wrong, 1.0, "" if wrong else "MI 0.9")))


def test_one_failure_wakes_nobody_two_do_once_and_recovery_is_told() -> None:
    told: list[str] = []

    def tell(text: str) -> bool:
        told.append(text)
        return True

    alarms = Alarms(tell)
    for wrong in ("", "away", "", "away", "away", "away", "", ""):
        alarms.take(report(wrong))
    assert told == ["CardioMesh: analysis fails: away", "CardioMesh: analysis is well again: MI 0.9"]


def test_what_could_not_be_told_is_told_again() -> None:
    told: list[str] = []
    answers = iter([False, True])

    def tell(text: str) -> bool:
        told.append(text)
        return next(answers)

    alarms = Alarms(tell, after=1)
    for _ in range(3):
        alarms.take(report("away"))
    assert told == ["CardioMesh: analysis fails: away"] * 2


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, str]]]]:
    got: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if self.path == "/good" else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()
        thread.join()


def test_a_webhook_says_whether_it_was_taken(receiver: tuple[str, list[dict[str, str]]]) -> None:
    url, got = receiver
    assert Webhook(f"{url}/good")("hello")
    assert not Webhook(f"{url}/bad")("hello")
    assert got == [{"text": "hello"}] * 2
    assert not Webhook("http://127.0.0.1:1/")("hello")
