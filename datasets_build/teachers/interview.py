"""Asking a model many questions: each once, several at a time, checked, and kept on disk.

A question that has been answered is never asked again, so a build that was killed goes on where it was and a repeated
one costs nothing. Answers are looked up by what decides them, so their order and number at a time change nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from datasets_build.core.files import DataError, read_json, write_json
from datasets_build.core.records import Part
from datasets_build.core.stage import output_folder
from datasets_build.teachers.model import Ask, Completion, Model, Reply

log = logging.getLogger(__name__)
Outcome = Literal["said", "refused", "truncated", "invalid"]
SHOWN = 160
_ANEW = "delete it to have it asked anew"


class Kept(Part):
    """An answer on disk; `text` is its JSON where the outcome is `said`, `reason` why it is none elsewhere.

    The tokens are those of every attempt.
    """

    key: str
    model: str
    revision: str
    prompt: str
    prompt_sha256: str
    seed: int
    outcome: Outcome
    text: str
    reason: str
    tokens_in: int
    tokens_out: int


@dataclass(slots=True)
class Tally:
    """What a build asked. All but `sent` and `cached` are the same however often it was cut short and repeated."""

    asked: int = 0
    refused: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    sent: int = 0
    cached: int = 0
    first_reason: str = ""


@dataclass(slots=True)
class Interview:
    """A model, the folder of its answers, and how often a question is put again whose answer has the wrong form."""

    model: Model
    folder: Path
    attempts: int
    tally: Tally = field(default_factory=Tally)
    _met: dict[str, Outcome] = field(default_factory=dict)

    def ask(self, asks: Sequence[Ask]) -> list[Kept]:
        """The answers, in the order of the questions.

        Raises:
            ModelError: the model has gone for good; what it had answered is kept.
            DataError: a file of the cache is broken.
        """
        keys = [ask.key(self.model.digest) for ask in asks]
        open_asks = {key: ask for key, ask in zip(keys, asks, strict=True) if not self._path(key).exists()}
        self._send(open_asks)
        forms = {key: ask.form for key, ask in zip(keys, asks, strict=True)}
        kept = {key: self._read(key, form) for key, form in forms.items()}
        for key, answer in kept.items():
            if key not in self._met:
                self._met[key] = answer.outcome
                self._count(answer, was_sent=key in open_asks)
        return [kept[key] for key in keys]

    def _count(self, answer: Kept, *, was_sent: bool) -> None:
        self.tally.asked += 1
        self.tally.refused += answer.outcome != "said"
        if answer.outcome != "said" and not self.tally.first_reason:
            self.tally.first_reason = f"{answer.outcome}, {answer.reason}"
        self.tally.tokens_in += answer.tokens_in
        self.tally.tokens_out += answer.tokens_out
        self.tally.sent += was_sent
        self.tally.cached += not was_sent

    def _send(self, asks: dict[str, Ask]) -> None:
        with ThreadPoolExecutor(max(1, self.model.parallel), thread_name_prefix="teacher") as pool:
            futures = [pool.submit(self._settle, key, ask) for key, ask in asks.items()]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self.model.stop()
                _cancel(futures)
                raise

    def _settle(self, key: str, ask: Ask) -> None:
        """Ask until the answer has its form, or often enough, and keep what came of it."""
        tokens_in = tokens_out = 0
        outcome: Outcome = "invalid"
        for attempt in range(self.attempts):
            found = self.model.complete(ask, attempt=attempt)
            tokens_in, tokens_out = tokens_in + found.tokens_in, tokens_out + found.tokens_out
            outcome, text, reason = _judged(found, ask.form)
            if outcome in ("said", "refused"):
                break
        kept = Kept(
            key=key,
            model=self.model.name,
            revision=self.model.revision,
            prompt=ask.prompt.name,
            prompt_sha256=ask.prompt.sha256,
            seed=ask.seed,
            outcome=outcome,
            text=text,
            reason=reason,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
        )
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, kept.model_dump(mode="json"))

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def _read(self, key: str, form: type[Reply]) -> Kept:
        path = self._path(key)
        try:
            kept = Kept.model_validate(read_json(path))
            if kept.key == key and kept.outcome == "said":
                form.model_validate_json(kept.text)
        except DataError as error:
            raise DataError(f"{error}; {_ANEW}") from error
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(f"{path}: field {first['loc']}: {first['msg']}; {_ANEW}") from error
        if kept.key != key:
            raise DataError(f"{path}: field key: found {kept.key}, expected {key}; {_ANEW}")
        return kept


def _cancel(futures: Sequence[Future[None]]) -> None:
    for future in futures:
        future.cancel()


def _judged(found: Completion, form: type[Reply]) -> tuple[Outcome, str, str]:
    """The outcome of one attempt: with the JSON that was said, or with why there is none."""
    if found.stop == "refused":
        return "refused", "", found.reason[:SHOWN] or "the model refused"
    if found.stop == "truncated":
        return "truncated", "", f"cut off at the token limit after {found.tokens_out} tokens"
    for text in _objects(found.text):
        try:
            return "said", form.model_validate_json(text).model_dump_json(), ""
        except ValidationError as error:
            reason = "; ".join(f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors())
            return "invalid", "", f"another form: {reason}"[:SHOWN]
    return "invalid", "", f"no JSON object: {found.text!r}"[:SHOWN]


def _objects(text: str) -> Iterator[str]:
    """The first JSON object in a text, which may stand in a fence or between words; none where there is none."""
    start = text.find("{")
    while start >= 0:
        try:
            _, length = json.JSONDecoder().raw_decode(text[start:])
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        yield text[start : start + length]
        return


@contextmanager
def interview(model: Model, folder: Path, *, attempts: int) -> Iterator[Interview]:
    """Hold the cache folder for this process while a model is asked, and say at the end what was asked.

    Raises:
        StageError: another build uses the folder.
    """
    with output_folder(folder):
        held = Interview(model, folder, attempts)
        try:
            yield held
        finally:
            model.close()
            tally = held.tally
            log.info(
                "%s %s: %d questions, of these %d sent now and %d from %s; %d without an answer; %d tokens in, %d out",
                *(held.model.kind, held.model.name, tally.asked, tally.sent, tally.cached, folder),
                *(tally.refused, tally.tokens_in, tally.tokens_out),
            )
