"""A local server that speaks the wire formats of Gemini, Claude and OpenAI, faults included.

It counts what it serves and bills what a real provider might bill, so that a test can hold the
books of `s1lib.providers.calls` against those of the other side.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from recorded import RECORDED, recorded

from s1lib.providers.prices import Usage, price

REFUSED = ("minute", "silent", "busy", "broken", "inside")  # bodies of `recorded.py`
FAULTS = (*REFUSED, "429 date", "hang", "drop", "cut", "malformed")
PERHAPS_BILLED = {"hang", "drop", "cut", "malformed"}
HANG = 60.0  # seconds
SERVED = ("gemini-2.5-flash", "claude-haiku-4-5-20251001", "deepseek-flash")


@dataclass
class Wire:
    """Answers every prompt with text derived from it. Use it with `with`; `url` is its address.

    `faults` is the share of early attempts (the first `stubborn` of each prompt) that go wrong,
    `refused` and `empty` the shares of prompts that never get a text. `status` makes every
    request fail with that code; `situation` with what is recorded for it, and `wrong(prompt)` names
    the situation of one prompt, if any. `say(prompt, attempt)` and `think(prompt)` write the
    answers, the first attempt being 1. `models` are those that its listings name. It is the
    hub, too, with `gated` repositories, and vLLM of a `version`. `batch_looks` is how often a batch
    is looked at before it ends; of Gemini's, `shuffled` and `nameless` bring replies in another
    order and without keys, and all leave out the prompts of `expire` once, with `short` without a
    trace.
    """

    faults: float = 0.0
    kinds: tuple[str, ...] = FAULTS
    rare: dict[str, float] = field(default_factory=dict)  # weights of kinds other than 1
    stubborn: int = 3
    refused: float = 0.0
    empty: float = 0.0
    latency: float = 0.0
    status: int = 0
    message: str = "no"
    situation: str = ""
    wrong: Callable[[str], str] = lambda prompt: ""
    seed: int = 0
    models: tuple[str, ...] = SERVED
    version: str = "0.32.0"  # of vLLM
    gated: tuple[str, ...] = ()
    batch_looks: int = 2
    say: Callable[[str, int], str] = lambda prompt, attempt: f"Answer: {len(prompt)}"
    think: Callable[[str], str] = lambda prompt: f"I think about {prompt}"
    served: Counter[str] = field(default_factory=Counter)  # well-formed answers per prompt
    attempts: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)  # faults by kind
    billed: float = 0.0  # dollars
    pause: float = 0.2  # seconds of Retry-After, where it comes as seconds
    early: Counter[str] = field(default_factory=Counter)  # attempts before the last Retry-After
    open: int = 0
    most_open: int = 0
    not_before: dict[str, datetime] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    expire: set[str] = field(default_factory=set)  # prompts that batches leave out once
    short: bool = False
    shuffled: bool = False
    nameless: bool | set[str] = False  # answers without keys: all, or those to these prompts
    unkeyed: Counter[str] = field(default_factory=Counter)  # answers without a key, per prompt

    def __enter__(self) -> Wire:
        self._loop = asyncio.new_event_loop()
        started = threading.Event()

        async def serve() -> None:
            self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
            port = self._server.sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            started.set()

        self._loop.create_task(serve())
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        async def close() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # HTTP

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split()
                headers = {}
                while header := (await reader.readline()).decode().strip():
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.open += 1
                self.most_open = max(self.open, self.most_open)
                try:
                    alive = await self._answer(writer, method, path, body and json.loads(body))
                finally:
                    self.open -= 1
                if not alive:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _write(
        self,
        writer: asyncio.StreamWriter,
        body: Any,
        status: int = 200,
        headers: Iterable[str] = (),
        shorten: int = 0,
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = (
            f"HTTP/1.1 {status} x",
            "content-type: application/json",
            f"content-length: {len(data)}",
            *headers,
        )
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + data[: len(data) - shorten])
        await writer.drain()

    async def _answer(
        self, writer: asyncio.StreamWriter, method: str, path: str, body: Any
    ) -> bool:
        """Answer one request; returns whether the connection goes on."""
        if self.status:
            error = {"error": {"code": self.status, "message": self.message, "type": "error"}}
            await self._write(writer, error, self.status)
            return True
        path = path.split("?")[0]
        if self.situation:
            await self._refuse(writer, path, self.situation)
            return True
        if path.endswith("/auth-check"):
            gated = any(name in path for name in self.gated)
            await self._write(
                writer, {}, 403 if gated else 200, ["x-error-code: GatedRepo"] * gated
            )
            return True
        if method == "GET" and path.endswith(("/models", "/version")):
            await self._write(writer, self._listing(path))
            return True
        if "batch" in path:
            await self._write(writer, *self._batch(method, path, body))
            return True
        self.requests.append(body)
        prompt, model = _prompt(body), body.get("model") or path.split("/")[-1].split(":")[0]
        attempt = self.attempts[prompt]
        self.attempts[prompt] += 1
        if situation := self.wrong(prompt):
            await self._refuse(writer, path, situation)
            return True
        self.early[prompt] += datetime.now(UTC) < self.not_before.pop(
            prompt, datetime.min.replace(tzinfo=UTC)
        )
        if self.latency:
            await asyncio.sleep(random.uniform(0, self.latency))
        rng = random.Random(f"{self.seed}/{prompt}/{attempt}")
        fault = ""
        if attempt < self.stubborn and rng.random() < self.faults:
            weights = [self.rare.get(kind, 1.0) for kind in self.kinds]
            (fault,) = rng.choices(self.kinds, weights)
            self.seen[fault] += 1
        if not fault:
            self.served[prompt] += 1
        if not fault or fault in PERHAPS_BILLED:
            self.billed += self._dollars(prompt, model)
        if fault == "minute":
            self.not_before[prompt] = datetime.now(UTC) + timedelta(seconds=self.pause)
        if fault in REFUSED:
            await self._refuse(writer, path, fault)
            return True
        return await self._send(writer, path, self._text(path, prompt, model), fault, prompt)

    async def _refuse(
        self,
        writer: asyncio.StreamWriter,
        path: str,
        situation: str,
        headers: Iterable[str] = (),
    ) -> None:
        status, lines, body = recorded(provider(path), situation, self.pause)
        await self._write(writer, body, status, [*lines, *headers])

    async def _send(
        self, writer: asyncio.StreamWriter, path: str, reply: Any, fault: str, prompt: str
    ) -> bool:
        if fault == "hang":
            await asyncio.sleep(HANG)
        elif fault == "cut":
            await self._write(writer, reply, shorten=20)
        elif fault == "malformed":
            await self._write(writer, json.dumps(reply).encode()[:-9])
            return True
        elif fault == "429 date":
            soon = (datetime.now(UTC) + timedelta(seconds=1)).replace(microsecond=0)
            self.not_before[prompt] = soon
            header = f"retry-after: {format_datetime(soon, usegmt=True)}"
            await self._refuse(writer, path, "silent", [header])
            return True
        elif not fault:
            await self._write(writer, reply)
            return True
        return False

    # What is said

    def _listing(self, path: str) -> dict[str, Any]:
        """The models served; all providers have one address for them, and fit into one answer."""
        if path.endswith("/version"):
            return {"version": self.version}
        now = datetime.now(UTC).isoformat()
        model = {"object": "model", "type": "model", "created": 0, "created_at": now}
        data = [{"id": n, "display_name": n, "owned_by": "x", **model} for n in self.models]
        google = [{"name": f"models/{name}"} for name in self.models]
        page = {"has_more": False, "first_id": "", "last_id": ""}
        return {"object": "list", "data": data, "models": google, **page}

    def _fate(self, prompt: str) -> str:
        share = random.Random(f"{self.seed}/{prompt}").random()
        if share < self.refused:
            return "refused"
        return "empty" if share < self.refused + self.empty else "ok"

    def _usage(self, prompt: str) -> Usage:
        number = int(hashlib.sha256(prompt.encode()).hexdigest(), 16)
        thinking = 20 + number % 80
        return Usage(input=len(prompt) // 4, output=10 + thinking, thinking=thinking)

    def _dollars(self, prompt: str, model: str, batch: bool = False) -> float:
        return price(model).cost(self._usage(prompt), batch)

    def _text(self, path: str, prompt: str, model: str) -> dict[str, Any]:
        usage, fate = self._usage(prompt), self._fate(prompt)
        thinking, text = self.think(prompt), self.say(prompt, self.attempts[prompt])
        if "generateContent" in path.lower() or ":" in path:
            parts = [{"text": thinking, "thought": True}] * bool(thinking) + [{"text": text}]
            candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP"}
            if fate == "refused":
                candidate = {"finishReason": "RECITATION"}
            return {
                "candidates": [] if fate == "empty" else [candidate],
                "modelVersion": model,
                "usageMetadata": {
                    "promptTokenCount": usage.input,
                    "candidatesTokenCount": usage.output - usage.thinking,
                    "thoughtsTokenCount": usage.thinking,
                },
            }
        if "messages" in path:
            return {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": model,
                "content": [] if fate == "empty" else [{"type": "text", "text": text}],
                "stop_reason": "refusal" if fate == "refused" else "end_turn",
                "stop_sequence": None,
                "usage": {"input_tokens": usage.input, "output_tokens": usage.output},
            }
        message = {"role": "assistant", "content": "" if fate == "empty" else text}
        choice = {
            "index": 0,
            "message": {**message, "reasoning_content": thinking or None},
            "finish_reason": "content_filter" if fate == "refused" else "stop",
        }
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": model,
            "choices": [choice],
            "usage": {
                "prompt_tokens": usage.input,
                "completion_tokens": usage.output,
                "total_tokens": usage.input + usage.output,
            },
        }

    # Batches

    def _batch(self, method: str, path: str, body: Any) -> tuple[Any, ...]:
        claude = "messages" in path
        if method == "POST":
            name = f"batches/{len(self.batches)}" if not claude else f"b{len(self.batches)}"
            now = datetime.now(UTC).isoformat()
            self.batches[name] = {"body": body, "path": path, "looks": 0, "made": now}
            return (self._look(name, claude),)
        if path.endswith("/results"):
            lines = [json.dumps(line) for line in self._results(path.split("/")[-2])]
            return ("\n".join(lines).encode(),)
        if path.endswith("batches"):
            names = reversed(self.batches)
            if claude:
                data = [self._look(name, claude) for name in names]
                return ({"data": data, "has_more": False, "first_id": None, "last_id": None},)
            return ({"operations": [self._look(name, claude) for name in names]},)
        name = path.split("/")[-1] if claude else "/".join(path.split("/")[-2:])
        self.batches[name]["looks"] += 1
        return (self._look(name, claude),)

    def _look(self, name: str, claude: bool) -> dict[str, Any]:
        batch = self.batches[name]
        ended = batch["looks"] >= self.batch_looks
        if claude:
            size = len(batch["body"]["requests"])
            counts = dict.fromkeys(("canceled", "errored", "expired", "succeeded"), 0)
            return {
                "id": name,
                "type": "message_batch",
                "processing_status": "ended" if ended else "in_progress",
                "request_counts": {**counts, "processing": 0 if ended else size}
                | ({"succeeded": size} if ended else {}),
                "created_at": batch["made"],
                "expires_at": batch["made"],
                "results_url": f"{self.url}/v1/messages/batches/{name}/results",
            }
        state = "BATCH_STATE_SUCCEEDED" if ended else "BATCH_STATE_RUNNING"
        meta = {"displayName": batch["body"]["batch"]["displayName"], "state": state}
        look: dict[str, Any] = {"name": name, "metadata": meta}
        if ended:
            meta["output"] = {"inlinedResponses": {"inlinedResponses": self._inline(name)}}
        return look

    def _bill(self, batch: dict[str, Any], prompt: str, model: str) -> None:
        if not batch.get("billed"):
            self.served[prompt] += 1
            self.billed += self._dollars(prompt, model, batch=True)

    def _inline(self, name: str) -> list[dict[str, Any]]:
        batch = self.batches[name]
        model = batch["path"].split("/")[-1].split(":")[0]
        replies = []
        for item in batch["body"]["batch"]["inputConfig"]["requests"]["requests"]:
            prompt = _prompt(item["request"])
            bare = prompt in self.nameless if isinstance(self.nameless, set) else self.nameless
            self._leave_out(batch, prompt)
            if prompt in batch["left"]:
                if self.short:
                    continue
                reply: dict[str, Any] = {"error": {"code": 4, "message": "expired"}}
            elif situation := self.wrong(prompt):
                said = RECORDED["gemini"][situation][2]["error"]
                code = {"INVALID_ARGUMENT": 3, "FAILED_PRECONDITION": 9}.get(said["status"], 13)
                reply = {"error": {"code": code, "message": said["message"]}}
            else:
                self._bill(batch, prompt, model)
                self.unkeyed[prompt] += bare and not batch.get("billed")
                reply = {"response": self._text(batch["path"], prompt, model)}
            replies.append(reply if bare else {**reply, "metadata": item["metadata"]})
        batch["billed"] = True
        return random.Random(name).sample(replies, len(replies)) if self.shuffled else replies

    def _results(self, name: str) -> Iterable[dict[str, Any]]:
        batch = self.batches[name]
        lines = []
        for item in reversed(batch["body"]["requests"]):
            prompt, model = _prompt(item["params"]), item["params"]["model"]
            self._leave_out(batch, prompt)
            if prompt in batch["left"]:
                if self.short:
                    continue
                result: dict[str, Any] = {"type": "expired"}
            elif situation := self.wrong(prompt):
                result = {"type": "errored", "error": RECORDED["claude"][situation][2]}
            else:
                self._bill(batch, prompt, model)
                message = self._text("/v1/messages", prompt, model)
                result = {"type": "succeeded", "message": message}
            lines.append({"custom_id": item["custom_id"], "result": result})
        batch["billed"] = True
        return lines

    def _leave_out(self, batch: dict[str, Any], prompt: str) -> None:
        left = batch.setdefault("left", set())
        if prompt in self.expire:
            self.expire.discard(prompt)
            left.add(prompt)


def provider(path: str) -> str:
    """Whose wire format a path belongs to."""
    if "messages" in path:
        return "claude"
    return "gemini" if ":" in path or "v1beta" in path else "openai"


def _prompt(body: dict[str, Any]) -> str:
    """The user's text, in any of the three formats."""
    if "contents" in body:
        return body["contents"][0]["parts"][0]["text"]
    return body["messages"][-1]["content"]
