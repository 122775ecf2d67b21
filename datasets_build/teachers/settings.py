"""Settings of the teachers that are models. None of them goes into a fingerprint but what decides their words."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from datasets_build.core.config import Config

ModelName = Literal["chat", "local"]


class ChatConfig(Config):
    """Which server and model, how it samples, and how hard it is asked.

    `api_key_env` names the environment variable that holds the key. `revision` goes into the provenance: no server
    tells which weights it runs. A server that does not know JSON schemas takes `json_object` or `none`, one that wants
    another name for the token limit takes `limit_as`. `longest_wait_s` bounds each wait between `max_retries` tries,
    `timeout_s` a whole answer. Prices are for a million tokens, in any currency.
    """

    base_url: str = "http://127.0.0.1:8000/v1"
    model: str = ""
    revision: str = ""
    api_key_env: str = Field(default="OPENAI_API_KEY", min_length=1)
    temperature: float = Field(default=0.7, ge=0, le=2)
    max_tokens: int = Field(default=400, ge=1)
    limit_as: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"
    concurrency: int = Field(default=16, ge=1, le=1024)
    requests_per_minute: float | None = Field(default=None, gt=0)
    max_retries: int = Field(default=5, ge=0)
    timeout_s: float = Field(default=120.0, gt=0)
    longest_wait_s: float = Field(default=60.0, gt=0)
    price_in: float = Field(default=0.0, ge=0)
    price_out: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _plain_address(self) -> Self:
        # Settings are printed and kept, so a password has no place in them; the message does not repeat it.
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("base_url: expected http://HOST/v1 or https://HOST/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("base_url: holds a user, password or query; the key belongs into api_key_env")
        return self


class LocalConfig(Config):
    """Which weights, where they run, and how they are sampled: greedily at temperature 0, else from a seed.

    `model` is a folder or a hub name, and `revision` what the hub calls a version. `device` is `auto` for the first
    GPU, else the processor.
    """

    model: str = ""
    revision: str = ""
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    temperature: float = Field(default=0.7, ge=0, le=2)
    max_tokens: int = Field(default=200, ge=1)


class TeachersConfig(Config):
    """The models, and how much is asked of them.

    Answers are kept in the folder `cache` (empty: `OUT/.teachers`). A question whose answer has the wrong form is put
    `attempts` times. A sentence is said in at most `variants` ways over all videos, in at most `room` times as many
    characters as the template's. A build fails where a larger share of its questions than `max_unanswered` gets no
    answer of the right form.
    """

    cache: str = ""
    attempts: int = Field(default=3, ge=1)
    variants: int = Field(default=8, ge=1)
    room: float = Field(default=1.6, ge=1, le=4)
    max_unanswered: float = Field(default=0.5, ge=0, le=1)
    chat: ChatConfig = ChatConfig()
    local: LocalConfig = LocalConfig()
