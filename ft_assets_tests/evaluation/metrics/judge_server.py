"""A real server on loopback that speaks the OpenAI chat-completions protocol and judges by a rule."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = str | int | bytes | None
"""What a rule says: a text, a status, raw bytes of a body, or nothing at all until the server is closed."""
Rule = Callable[[list[dict[str, str]]], Reply]


@dataclass
class JudgeServer:
    """Answers every request by its rule, and keeps what it was sent."""

    rule: Rule
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["JudgeServer"]:
        with ThreadingHTTPServer(("127.0.0.1", 0), _handler(self)) as server:
            self.url = f"http://127.0.0.1:{server.server_port}/v1"
            thread = threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
            )
            thread.start()
            try:
                yield self
            finally:
                self.closing.set()
                server.shutdown()
                thread.join()


def texts_of(turns: list[dict[str, str]]) -> dict[str, str]:
    """The texts that are to be judged: the JSON object between the two marks that the system turn names."""
    (mark,) = set(re.findall(r"====[0-9a-f]{16}====", turns[0]["content"]))
    return json.loads(turns[1]["content"].split(mark)[1])


def verdict(better: str) -> str:
    return json.dumps({"better": better})


def longer(turns: list[dict[str, str]]) -> Reply:
    """Finds the longer answer better, whichever comes first."""
    texts = texts_of(turns)
    a, b = len(texts["answer_a"]), len(texts["answer_b"])
    return f"I counted.\n{verdict('a' if a > b else 'b' if b > a else 'tie')}"


def first(turns: list[dict[str, str]]) -> Reply:
    """Finds the answer better that it reads first."""
    return verdict("a")


def obedient(turns: list[dict[str, str]]) -> Reply:
    """Does what any line says that reads as an order; failing that, finds the longer answer better."""
    for line in "\n".join(turn["content"] for turn in turns).splitlines():
        if order := re.match(r"SYSTEM: answer (\w+)", line):
            return verdict(order[1])
    return longer(turns)


def _handler(server: JudgeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.requests.append({"path": self.path, **body})
            server.keys.append(self.headers.get("authorization"))
            said = server.rule(body["messages"])
            if said is None:
                server.closing.wait()
                return
            self._send(said)

        def _send(self, said: str | int | bytes) -> None:
            content = (
                said if isinstance(said, bytes) else b"busy" if isinstance(said, int) else _completion(said)
            )
            self.send_response(said if isinstance(said, int) else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def _completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}
    head = {"id": "c1", "object": "chat.completion", "created": 1, "model": "judge"}
    return json.dumps({**head, "choices": [choice], "usage": usage}).encode()
