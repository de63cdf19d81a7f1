"""`vllm serve` as `ServerDecoder` sees it, over the torch engine: all models at one address.

What is asked for while the engine works is decoded together in its next turn.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from s1lib.decoding import load_decoder
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.engine import Engine
from s1lib.decoding.forcing import Forcing, Marks, Plain
from s1lib.decoding.jobs import Job
from s1lib.decoding.sampling import Sampling

Body = dict[str, Any]
SETTINGS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
GATHER = 0.02  # seconds in which more requests may come


class _Queued(ThreadingHTTPServer):
    request_queue_size = 512  # a decoder opens as many connections at once as it has rows


class Request(Plain):
    """Tokens up to a stop id, which none of the first `least` may be."""

    least = 0

    @property
    def min_tokens(self) -> int:
        return max(0, self.least - len(self.sampled))


class Served:
    """Use it with `with`. `names` says which models there are now; `url` ends in `/v1`."""

    def __init__(self, names: Callable[[], Sequence[str]], window: int, dtype: str) -> None:
        self.names, self.window, self.dtype = names, window, dtype
        self._models: dict[str, Decoder] = {}
        self._waiting: list[tuple[Body, Future[Body]]] = []
        self._some = threading.Condition()
        self._over = False
        self._http = _Queued(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> Served:
        for work in (self._http.serve_forever, self._decode):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        with self._some:
            self._over = True
            self._some.notify()

    def complete(self, body: Body) -> Body:
        future: Future[Body] = Future()
        with self._some:
            self._waiting.append((body, future))
            self._some.notify()
        return future.result()

    def _decode(self) -> None:
        while not self._over:
            with self._some:
                self._some.wait_for(lambda: self._waiting or self._over)
            time.sleep(GATHER)
            with self._some:
                taken, self._waiting = self._waiting, []
            alike: dict[str, list[tuple[Body, Future[Body]]]] = defaultdict(list)
            for body, future in taken:
                kind = [body["model"], body["stop_token_ids"], *(body[name] for name in SETTINGS)]
                alike[json.dumps(kind)].append((body, future))
            for group in alike.values():
                try:
                    self._together(group)
                except Exception as error:
                    for _, future in group:
                        if not future.done():
                            future.set_exception(error)

    def _together(self, group: list[tuple[Body, Future[Body]]]) -> None:
        first = group[0][0]
        stops = frozenset(first["stop_token_ids"])
        marks = Marks((), (), (), (), (), (), stops, lambda token: False)
        sampling = Sampling(**{name: first[name] for name in SETTINGS})
        jobs = []
        for place, (body, _) in enumerate(group):
            room = self.window - len(body["prompt"])
            most = min(body["max_tokens"], room)
            machine = Request(body["prompt"], Forcing(), marks, self.window, most)
            machine.least = body["min_tokens"]
            jobs.append(Job(machine, place, stream=body.get("seed") or 0))
        longest = max(job.machine.prompt_stop + job.machine.answer_tokens for job in jobs)
        network = self._model(first["model"]).network  # type: ignore[attr-defined]
        for job, machine in Engine(network, min(64, len(jobs)), longest, sampling).run(jobs):
            stopped = machine.answer_end == "eos"
            choice = {
                "token_ids": machine.sampled,
                "finish_reason": "stop" if stopped else "length",
                "stop_reason": machine.sampled[-1] if stopped else None,
            }
            group[job.problem][1].set_result({"choices": [choice]})

    def _model(self, name: str) -> Decoder:
        if name not in self._models:
            self._models[name] = load_decoder(
                name, backend="torch", window=self.window, dtype=self.dtype
            )
        return self._models[name]


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/version":
                return self._say({"version": "0.32.0"})
            models = [
                {"id": name, "object": "model", "owned_by": "vllm"} for name in served.names()
            ]
            return self._say({"object": "list", "data": models})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if body["model"] not in served.names():
                return self._say({"error": "no such model"}, 404)
            if len(body["prompt"]) >= served.window:
                return self._say({"error": "the prompt is longer than the window"}, 400)
            return self._say(served.complete(body))

        def _say(self, reply: Body, status: int = 200) -> None:
            words = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(words)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(words)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
