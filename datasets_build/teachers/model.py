"""The interface to a model that is asked for words: a server, or weights in this process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import jinja2
from pydantic import BaseModel, ConfigDict

from datasets_build.core.files import DataError
from datasets_build.core.records import Json

PROMPTS = Path(__file__).with_name("prompts")
Stop = Literal["said", "refused", "truncated"]


class ModelError(DataError):
    """A model that cannot be had, or has gone for good: nothing can be asked of it any more."""


class Reply(BaseModel):
    """Base of what a model has to answer: a JSON object with these fields and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A file of `prompts/`: a Jinja template for one message to a model."""

    name: str
    sha256: str
    source: str

    @classmethod
    def load(cls, name: str) -> Prompt:
        """Read `prompts/NAME.md`."""
        content = (PROMPTS / f"{name}.md").read_bytes()
        return cls(name, hashlib.sha256(content).hexdigest(), content.decode())

    def fill(self, values: Mapping[str, str | int]) -> str:
        """The message with its places filled; a place without a value is an error."""
        return _compiled(self.source).render(values).strip()


@lru_cache(maxsize=16)
def _compiled(source: str) -> jinja2.Template:
    # The message is no web page: what is filled in has to stay as it is.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    return environment.from_string(source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question to a model: a message, pictures (JPEG) in order of time, the form of the answer, and a seed."""

    prompt: Prompt
    text: str
    pictures: tuple[bytes, ...] = ()
    form: type[Reply]
    seed: int

    def key(self, model_digest: str) -> str:
        """What decides the answer, as 64 hex digits: model, prompt, message, form, seed and pictures."""
        digest = hashlib.sha256()
        parts = [model_digest, self.prompt.sha256, self.text, json.dumps(self.schema, sort_keys=True), str(self.seed)]
        for part in (*(text.encode() for text in parts), *self.pictures):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()

    @property
    def schema(self) -> dict[str, Json]:
        """The JSON Schema of the answer."""
        return self.form.model_json_schema()


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What came back: text, why it ended, how many tokens were read and written, and why nothing was said."""

    text: str
    stop: Stop
    tokens_in: int = 0
    tokens_out: int = 0
    reason: str = ""


class Model(Protocol):
    """Completes messages; safe to call from as many threads as `parallel` says."""

    @property
    def kind(self) -> str:
        """What kind of teacher it is: `chat` or `local`."""
        ...

    @property
    def name(self) -> str:
        """Which model."""
        ...

    @property
    def revision(self) -> str:
        """Which weights of it; empty where nobody said."""
        ...

    @property
    def digest(self) -> str:
        """What decides its answers besides the question: name, revision, and how it samples."""
        ...

    @property
    def parallel(self) -> int:
        """How many questions it takes at once."""
        ...

    def complete(self, ask: Ask, *, attempt: int) -> Completion:
        """Answer; a later attempt at the same question may say something else.

        Raises:
            ModelError: it has gone for good.
        """
        ...

    def stop(self) -> None:
        """Wake what is waiting: nothing more will be asked. What is under way goes on to its end."""
        ...

    def close(self) -> None:
        """Give back what it holds, when nothing is under way any more."""
        ...
