"""The backend for `vllm serve` (0.10.2 or later), through the OpenAI client.

Prompts go out and answers come back as token ids, so nothing is encoded twice. Each problem is
one coroutine with its own state machine: none waits for another, and a problem's next request
finds its prefix in the server's cache. The server enforces what the machine asks for: a number
of tokens, the ids to stop at, and for how many tokens these are banned. Other OpenAI-compatible
servers know no `return_token_ids`, `stop_token_ids` and `min_tokens`, and are refused.

`python -m s1lib serve --profile paper` starts vLLM for a profile.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import openai
from transformers import PreTrainedTokenizerBase

from s1lib.artifacts import RunError
from s1lib.chat import delimiters_of, load_tokenizer, model_path
from s1lib.decoding.ask import told
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.forcing import Machine
from s1lib.decoding.jobs import Done, Job, one_id_stops
from s1lib.decoding.requests import request, take
from s1lib.decoding.sampling import Sampling
from s1lib.profile import load_profile
from s1lib.streams import Closed, Stream, read

ADDRESS = "http://localhost:8000/v1"
TRIES = 6
PAUSE = 0.5  # seconds before the second try; doubles with every further one
QUICK = 30.0  # seconds for the list of models
SECONDS = 3600.0  # for one request: a trace of 32k tokens in a full batch takes long
_KEY = "wants a key: set S1_SERVER_KEY to it"


class ServerDecoder(Decoder):
    """Decodes on a server that returns token ids (`return_token_ids`: vLLM from 0.10.2 on).

    `url` is the address up to `/v1`; without it `S1_SERVER` in the environment, or this machine.
    Several addresses, parted by spaces, are servers of different models, and the one that serves
    this model is asked. A key, if the server wants one, is read from `S1_SERVER_KEY` at the time
    of the call. `beyond` are ids in the model's padded vocabulary that the tokenizer does not know:
    they are never sampled. `settings` are those of `Decoder`; `rows` bounds the requests in flight.
    """

    def __init__(
        self,
        name: str,
        tokenizer: PreTrainedTokenizerBase,
        *,
        dtype: str = "",
        url: str = "",
        beyond: Sequence[int] = (),
        **settings: Any,
    ) -> None:
        super().__init__(name, tokenizer, config={"dtype": dtype, "at": "server"}, **settings)
        self.urls = addresses(url)
        self.url, self.beyond = self.urls[0], tuple(beyond)

    def run(self, jobs: list[Job], sampling: Sampling) -> Iterator[Done]:
        """The coroutines run in a thread, since a notebook has an event loop of its own."""
        for job in jobs:
            one_id_stops(job.machine)
        self.url = self._serving()

        async def everything(stream: Stream[Done]) -> None:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None

            def cancel() -> None:  # whoever stops reading stops the requests
                with suppress(RuntimeError):  # it has just ended by itself
                    loop.call_soon_threadsafe(task.cancel)

            stream.on_close(cancel)
            await self._all(jobs, sampling, stream)

        def work(stream: Stream[Done]) -> None:
            try:
                asyncio.run(everything(stream))
            except asyncio.CancelledError:
                raise Closed from None
            except BaseExceptionGroup as group:
                error: BaseException = group
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                raise error from None

        return read([work])

    async def _all(self, jobs: list[Job], sampling: Sampling, stream: Stream[Done]) -> None:
        turn = asyncio.Semaphore(self.rows)
        async with openai.AsyncOpenAI(**_access(self.url, SECONDS)) as client:

            async def follow(job: Job, machine: Machine) -> None:
                """To its end, or as a trunk to the end of its thinking, where its leaves begin."""
                trunk = machine is job.machine or machine.phase == "thinking"
                leaves = job.branches if trunk else None
                async with turn:
                    while machine.phase == "thinking" or (machine.phase == "answer" and not leaves):
                        await self._advance(client, job, machine, sampling)
                if not leaves:
                    return stream.push((job, machine))
                for leaf in leaves(machine):
                    group.create_task(follow(job, leaf))

            async with asyncio.TaskGroup() as group:
                for job in jobs:
                    job.machine.start()
                    group.create_task(follow(job, job.machine))

    def _serving(self) -> str:
        """The address of the server that has this model. A server that is down is passed over.

        A single server that does not say what it has gets the requests, which are retried.
        """
        found = []
        for url in self.urls:
            try:
                names = served(url)
            except RunError as error:
                if len(self.urls) == 1:
                    return url
                found.append(str(error))
                continue
            if self.name in names:
                return url
            found.append(f"{shown(url)} serves {', '.join(names)}")
        raise RunError(f"no server has {self.name}: {'; '.join(found)}. {_start(self.name)}")

    async def _advance(
        self, client: openai.AsyncOpenAI, job: Job, machine: Machine, sampling: Sampling
    ) -> None:
        """One request: up to the machine's next decision."""
        wanted = request(job, machine, sampling, self.beyond)
        choice = await self._choice(client, machine.ids, wanted, job.problem)
        self.paid += take(machine, _tokens(choice, machine, shown(self.url)))

    async def _choice(
        self, client: openai.AsyncOpenAI, prompt: list[int], wanted: dict[str, Any], problem: int
    ) -> dict[str, Any]:
        """Ask until there is an answer. Faults of the server are retried, our own are not."""
        why, at = "", shown(self.url)
        body = {**wanted, "skip_special_tokens": False, "return_token_ids": True}
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(PAUSE * 2 ** (attempt - 1))
            try:
                reply = await client.completions.with_raw_response.create(
                    model=self.name, prompt=prompt, extra_body=body
                )
                choice: dict[str, Any] = reply.http_response.json()["choices"][0]
                if choice.get("finish_reason") != "abort" or choice.get("token_ids"):
                    return choice
                why = "the request was aborted"
            except openai.APIConnectionError as error:
                why = type(error).__name__
            except openai.APIStatusError as error:
                why = f"HTTP {error.status_code}"
                self._refused(error, problem)
            except (ValueError, LookupError, TypeError):
                why = "a reply without choices"
        raise RunError(
            f"the server at {at} gave no answer to prompt {problem} in {TRIES} tries "
            f"({why}). {_start(self.name)}"
        )

    def _refused(self, error: openai.APIStatusError, problem: int) -> None:
        """Raise `RunError` for what trying again does not mend."""
        status, at = error.status_code, shown(self.url)
        if status == 404:
            raise RunError(f"the server at {at} has no {self.name}. {_start(self.name)}")
        if status in (401, 403):
            raise RunError(f"the server at {at} {_KEY}")
        if 400 <= status < 500 and status != 429:
            raise RunError(
                f"the server refuses prompt {problem} (HTTP {status}: "
                f"{error.response.text[:200]}): check window and server version"
            )


def served(url: str) -> list[str]:
    """Names of the models of a server. Raises `RunError` if it does not answer or wants a key."""
    try:
        with openai.OpenAI(**_access(url, QUICK)) as client:
            reply = client.models.with_raw_response.list()
        return [str(model["id"]) for model in reply.http_response.json()["data"]]
    except (openai.AuthenticationError, openai.PermissionDeniedError):
        raise RunError(f"{shown(url)} {_KEY}") from None
    except (openai.OpenAIError, ValueError, LookupError, TypeError) as error:
        raise RunError(f"{shown(url)} does not answer ({type(error).__name__})") from None


def version(url: str) -> str:
    """The version that a server names, as vLLM does; empty if it names none."""
    with suppress(openai.OpenAIError, LookupError, TypeError):
        with openai.OpenAI(**_access(url, QUICK)) as client:
            reply: Any = client.get(url.removesuffix("/v1") + "/version", cast_to=object)
        return str(reply["version"])
    return ""


def _access(url: str, seconds: float) -> dict[str, Any]:
    """What a client of OpenAI's needs; who asks again, and when, is decided here."""
    key = os.environ.get("S1_SERVER_KEY") or "none"
    return {"base_url": url, "api_key": key, "timeout": seconds, "max_retries": 0}


def addresses(url: str = "") -> list[str]:
    """Where servers may be: those of `url`, else of `S1_SERVER`, else this machine."""
    given = url or os.environ.get("S1_SERVER", "") or ADDRESS
    return [address.rstrip("/") for address in given.split()]


def shown(url: str) -> str:
    """An address without the user and password that it may hold."""
    return re.sub(r"//[^/@]*@", "//", url)


def _start(model: str) -> str:
    return f"Start one with: python -m s1lib serve --model {model}"


def _tokens(choice: dict[str, Any], machine: Machine, url: str) -> list[int]:
    """Sampled ids of a reply, the one that it stopped at included."""
    if choice.get("token_ids") is None:
        raise RunError(f"the server at {url} returns no token ids: it must be vLLM 0.10.2 or later")
    tokens = list(choice["token_ids"])
    if choice.get("finish_reason") == "stop" and (
        not tokens or tokens[-1] not in machine.marks.stop_token_ids
    ):
        stop = choice.get("stop_reason")
        tokens.append(stop if isinstance(stop, int) else min(machine.marks.ends))
    if not tokens:
        raise RunError(f"the server at {url} sent no tokens: is its window {machine.window}?")
    return tokens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="paper", help="smoke, laptop, gpu, paper (default)")
    parser.add_argument("--run", default="", metavar="FOLDER", help="run folder")
    parser.add_argument("--model", default="", help="default: the run's fine-tuned model")
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument("--data-parallel-size", type=int, default=1)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--print", action="store_true", help="only print the command")


def main(args: argparse.Namespace) -> int:
    """Start the server for a profile, in place of this process."""
    book = load_profile(args.profile, args.run)
    name = args.model or (book.run / "models" / "s1").as_posix()
    line = ["vllm", "serve", model_path(name), "--served-model-name", name]
    line += ["--dtype", book.evaluation.dtype, "--max-model-len", str(book.evaluation.window)]
    line += ["--tensor-parallel-size", str(args.tensor_parallel_size)]
    line += ["--data-parallel-size", str(args.data_parallel_size), "--port", str(args.port)]
    line += ["--enable-prefix-caching", "--generation-config", "vllm"]
    print(shlex.join(line), flush=True)
    if args.print:
        return 0
    with suppress(OSError):  # a model that vLLM can find and this machine cannot
        print(told(delimiters_of(load_tokenizer(name))), file=sys.stderr)
    try:
        os.execvp(line[0], line)
    except FileNotFoundError:
        raise RunError(
            "vllm is not installed here: pip install 's1lib[cluster]', or copy the command above"
        ) from None
