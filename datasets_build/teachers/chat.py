"""Any server that speaks OpenAI's chat completions: vLLM, SGLang, Ollama, OpenAI. Only this file imports `openai`.

A question that the server turns down (a status of 400, 413 or 422, or a refusal in the answer) is told as refused.
What may pass (a busy or broken server, a cut connection, no answer in time, an answer that is no completion) is tried
again, and when it does not pass the model is gone. The key is read from the environment and stands in no message.
"""

from __future__ import annotations

import base64
import email.utils
import math
import os
import re
import threading
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import httpx2
import openai
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from datasets_build.core.records import Json
from datasets_build.teachers.model import Ask, Completion, ModelError
from datasets_build.teachers.settings import ChatConfig

_OF_ONE_QUESTION = frozenset({400, 413, 422})
_PASSING = frozenset({408, 409, 425, 429})
_LARGEST_ANSWER = 4 * 2**20
_LEAST_KEY = 8
_LONGEST_PART = 20
_FIRST_WAIT_S = 0.5
_SHOWN = 200


class _Piece(BaseModel):
    """A part of an answer; only those of text say something."""

    text: str | None = None


class _Message(BaseModel):
    content: str | tuple[_Piece, ...] | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        """What was said, in one piece."""
        if isinstance(self.content, tuple):
            return "".join(piece.text or "" for piece in self.content)
        return self.content or ""


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


# Some servers send null where they did not count; no answer has more than a billion tokens.
_Count = Annotated[int, Field(ge=0, le=10**9), BeforeValidator(lambda value: 0 if value is None else value)]


class _Usage(BaseModel):
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0


class _Body(BaseModel):
    """What of a completion is read; servers add fields of their own."""

    choices: tuple[_Choice, ...] = Field(min_length=1)
    usage: _Usage | None = None


class _PassingError(Exception):
    """Something that may be otherwise the next time; `wait_s` is how long the server asks to be left alone."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _Gate:
    """Lets requests through one after the other, so many a minute, and none while the server wants rest."""

    def __init__(self, per_minute: float | None) -> None:
        self._apart_s = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()
        self.closed = threading.Event()

    def pass_through(self) -> None:
        with self._lock:
            at = max(time.monotonic(), self._next)
            self._next = at + self._apart_s
        self.rest(at - time.monotonic())

    def hold(self, seconds: float) -> None:
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def rest(self, seconds: float) -> None:
        if self.closed.wait(max(0.0, seconds)):
            raise ModelError("the build stops, so nothing more is asked")


class ChatModel:
    """A model behind a server."""

    kind = "chat"

    def __init__(self, config: ChatConfig) -> None:
        if not config.model:
            raise ModelError("teachers.chat.model: is empty, expected the model's name on the server")
        self._config = config
        self._gate = _Gate(config.requests_per_minute)
        self._key = _key_of(config)
        self._spelled = re.compile("".join(map(_spellings, self._key)), re.IGNORECASE)
        self._client = openai.OpenAI(
            # Local servers ask for no key, but the client does.
            api_key=self._key or "none",
            base_url=config.base_url,
            timeout=config.timeout_s,
            max_retries=0,
        )

    @property
    def name(self) -> str:
        """The model's name on the server."""
        return self._config.model

    @property
    def revision(self) -> str:
        """As the settings say."""
        return self._config.revision

    @property
    def parallel(self) -> int:
        """Requests under way at once."""
        return self._config.concurrency

    @property
    def digest(self) -> str:
        """Model, revision and sampling. Where the server is and how hard it is asked changes no answer."""
        config = self._config
        sampled = f"temperature {config.temperature} {config.limit_as} {config.max_tokens} {config.response_format}"
        return f"chat {config.model}@{config.revision} {sampled}"

    def stop(self) -> None:
        """Wake whatever waits; it ends with an error."""
        self._gate.closed.set()

    def close(self) -> None:
        """Give the connections back; not while a question is under way, which would lose its own."""
        self._client.close()

    def complete(self, ask: Ask, *, attempt: int) -> Completion:
        """Send a question until an answer comes. Raises ModelError when none does, or none ever will."""
        config = self._config
        for tries in range(config.max_retries + 1):
            self._gate.pass_through()
            try:
                return self._send(ask, attempt)
            except _PassingError as error:
                reason, asked_s = str(error), error.wait_s
            if asked_s is not None and asked_s > config.longest_wait_s:
                raise self._gone(f"{reason}; it asks to wait {asked_s:.0f} s, longer than longest_wait_s")
            wait_s = max(min(_FIRST_WAIT_S * 2.0 ** min(tries, 20), config.longest_wait_s), asked_s or 0.0)
            if asked_s is not None:
                self._gate.hold(wait_s)
            if tries < config.max_retries:
                self._gate.rest(wait_s)
        raise self._gone(f"{reason}, {config.max_retries + 1} times")

    def _gone(self, reason: str) -> ModelError:
        config = self._config
        return ModelError(
            f"teachers.chat: {config.model} at {_shown(config.base_url)}: {reason}; "
            "what it has answered is kept: repeat the command to go on"
        )

    def _send(self, ask: Ask, attempt: int) -> Completion:
        deadline = time.monotonic() + self._config.timeout_s
        try:
            # The answer is read by hand: the client builds records of whatever a server sends.
            with self._client.chat.completions.with_streaming_response.create(**self._request(ask, attempt)) as answer:
                content = bytearray()
                for chunk in answer.iter_bytes():
                    content += chunk
                    if time.monotonic() > deadline:
                        raise _PassingError(f"no whole answer within {self._config.timeout_s:g} s")
                    if len(content) > _LARGEST_ANSWER:
                        raise _PassingError(f"an answer of more than {_LARGEST_ANSWER} bytes")
        except openai.APIStatusError as error:
            return self._status(error)
        except openai.APITimeoutError:
            raise _PassingError(f"no answer within {self._config.timeout_s:g} s") from None
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            raise _PassingError(f"no connection ({self._public(f'{type(cause).__name__}: {cause}')})") from None
        return self._read(bytes(content))

    def _request(self, ask: Ask, attempt: int) -> dict[str, Any]:
        config = self._config
        pictures: list[Json] = [
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"}}
            for jpeg in ask.pictures
        ]
        request: dict[str, Any] = {
            "model": config.model,
            "messages": [{"role": "user", "content": [*pictures, {"type": "text", "text": ask.text}]}],
            "temperature": config.temperature,
            # The same seed would give the same answer of a wrong form again.
            "seed": (ask.seed + attempt) % 2**31,
            config.limit_as: config.max_tokens,
        }
        if config.response_format == "json_schema":
            schema = {"name": ask.prompt.name, "strict": True, "schema": ask.schema}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif config.response_format == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request

    def _status(self, error: openai.APIStatusError) -> Completion:
        status, said = error.status_code, self._public(error.message)
        if status in _OF_ONE_QUESTION:
            return Completion(text="", stop="refused", reason=f"status {status}: {said}")
        if error.code == "insufficient_quota" or (status < 500 and status not in _PASSING):
            key = f"the key in {self._config.api_key_env}" if self._key else f"no key in {self._config.api_key_env}"
            hint = f" ({key})" if status in (401, 403) else ""
            raise self._gone(f"status {status}{hint}: {said}") from None
        raise _PassingError(f"status {status}: {said}", _retry_after(error.response.headers)) from None

    def _read(self, content: bytes) -> Completion:
        try:
            body = _Body.model_validate_json(content)
        except ValidationError:
            raise _PassingError(f"no chat completion: {self._public(content.decode(errors='replace'))!r}") from None
        choice, usage = body.choices[0], body.usage or _Usage()
        refused = choice.message.refusal or ("content filter" if choice.finish_reason == "content_filter" else "")
        stop: Literal["said", "refused", "truncated"] = "said"
        if refused:
            stop = "refused"
        elif choice.finish_reason == "length":
            stop = "truncated"
        return Completion(
            text=self._without_key(choice.message.text),
            stop=stop,
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            reason=self._public(refused),
        )

    def _public(self, text: str) -> str:
        """A server's own words, short, on one line, and without the key."""
        return self._without_key(" ".join(text.split()))[:_SHOWN]

    def _without_key(self, text: str) -> str:
        return self._spelled.sub("***", text) if len(self._key) >= _LEAST_KEY else text


def _key_of(config: ChatConfig) -> str:
    """The key of the environment. Raises ModelError, which names the variable alone, where it can be no key."""
    key = os.environ.get(config.api_key_env, "").strip()
    # A header does not hold it, and the error of the connection would print it.
    if not all("!" <= character <= "~" for character in key):
        raise ModelError(
            f"environment variable {config.api_key_env}: holds white space, a control character or a letter outside "
            "ASCII, expected a key of printable ASCII characters on one line"
        )
    if len(key) >= _LEAST_KEY and key in config.base_url:
        raise ModelError(f"teachers.chat.base_url: holds the key, which belongs into {config.api_key_env} alone")
    return key


def _spellings(character: str) -> str:
    """A pattern of a character as it is, and escaped as JSON, a Python literal or an address would have it."""
    code = ord(character)
    return rf"(?:\\*{re.escape(character)}|\\+u00{code:02x}|\\+x{code:02x}|%{code:02x})"


def _shown(base_url: str) -> str:
    """The address for a message, its long parts hidden: some gateways want a key there."""
    parts = urlsplit(base_url)
    path = "/".join("***" if len(part) >= _LONGEST_PART else part for part in parts.path.split("/"))
    return f"{parts.scheme}://{parts.netloc}{path}"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """How long a server asks to be left alone: seconds, or a date."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
        return None if math.isnan(seconds) else max(0.0, seconds)
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
