"""The teacher that is a model: it says in other words what a template would say, or the template's words stand.

The template decides what is said; the model never hears when anything happens nor what comes later, and its words are
held against the template's (`teachers/faithful.py`). Where they do not fit, or the model gives none, the template's
stand and the reason is told.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from datasets_build.core.records import Many, Provenance, Record, derive_id
from datasets_build.teachers.faithful import LISTS_DIGEST, named_words, unfaithful
from datasets_build.teachers.interview import Interview, Kept, interview
from datasets_build.teachers.model import Ask, Model, ModelError, Prompt, Reply
from datasets_build.teachers.teacher import Happening, Request, Topic
from datasets_build.teachers.template import Template

PROMPT = Prompt.load("reword")


class Rewording(Reply):
    """What the model answers."""

    text: str


class Wording(Record):
    """Who wrote one sentence of a record. `place` says where: `question`, `answers.0`, `system`, or a turn's id.

    `draft` is the template's sentence, `named` its words that were filled in, and `text` what stands in the record;
    `kept` says why that is the draft.
    """

    record_id: str
    place: str
    intent: str
    draft: str
    named: Many[str]
    text: str
    kept: str | None = None
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Sentence:
    """A template's sentence: for what, and which of its words were filled in."""

    text: str
    intent: str
    named: tuple[str, ...]

    @property
    def by_user(self) -> bool:
        """Whether a person says it."""
        return self.intent.startswith("ask_")


@dataclass(frozen=True, slots=True)
class Reworded:
    """What stands for a sentence, with which seed it was asked for, and why it is the template's (None: it is not)."""

    sentence: Sentence
    text: str
    seed: int
    kept: str | None


@dataclass(slots=True)
class Templated:
    """What stands on a template speaks its language and of the same topics."""

    template: Template

    @property
    def language(self) -> str:
        """The template's."""
        return self.template.language

    def topic(self, happening: Happening) -> Topic | None:
        """As the template names it."""
        return self.template.topic(happening)

    def absent_subjects(self) -> Sequence[str]:
        """The template's."""
        return self.template.absent_subjects()


@dataclass(slots=True)
class Drafts(Templated):
    """A template that remembers what it was asked for by what it said: the teacher of one video, while it is drawn."""

    sentences: dict[str, Sentence] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The template's."""
        return self.template.digest

    def write(self, request: Request, rng: random.Random) -> str | None:
        """The template's words, remembered."""
        text = self.template.write(request, rng)
        if text is not None and text not in self.sentences:
            filled = self.template.filling(request).values()
            self.sentences[text] = Sentence(text, request.intent, named_words(text, filled))
        return text

    def provenance(self, *, seed: int, inputs: Sequence[str]) -> Provenance:
        """The template's."""
        return self.template.provenance(seed=seed, inputs=inputs)


@dataclass(slots=True)
class ModelTeacher(Templated):
    """A template whose sentences a model says in other words.

    `variants` bounds in how many ways one sentence is said over all videos, and so the number of questions to the
    model; `room` is how much longer than the template's its words may be.
    """

    model: Model
    variants: int
    room: float
    attempts: int = 3
    kept: int = 0
    reworded: int = 0
    _interview: Interview | None = None

    @property
    def digest(self) -> str:
        """What decides its words."""
        asked = f"{PROMPT.sha256} {LISTS_DIGEST} {self.variants} {self.room} {self.attempts}"
        return f"{self.template.digest} {self.model.digest} {asked}"

    def write(self, request: Request, rng: random.Random) -> str | None:
        """One sentence in the model's words. Builders draw with `Drafts` and have only what they keep reworded."""
        drafts = Drafts(self.template)
        text = drafts.write(request, rng)
        seed = rng.randrange(self.variants)
        return None if text is None else self.reword([drafts.sentences[text]], lambda _: seed)[text].text

    def provenance(self, *, seed: int, inputs: Sequence[str]) -> Provenance:
        """The model, its revision and the prompt."""
        return Provenance(
            kind="model",
            agent=f"{self.model.kind}:{self.model.name}",
            version=self.model.revision,
            prompt_sha256=PROMPT.sha256,
            seed=seed,
            inputs=tuple(inputs),
        )

    @contextmanager
    def working(self, folder: Path) -> Iterator[Interview]:
        """Hold the folder of the model's answers; only inside can it write."""
        with interview(self.model, folder, attempts=self.attempts) as held:
            self._interview = held
            try:
                yield held
            finally:
                self._interview = None

    def seed_for(self, sentence: str, video_id: str, seed: int) -> int:
        """The seed with which a video has a sentence reworded."""
        return seed * self.variants + int(derive_id("reword", video_id, sentence)[:12], 16) % self.variants

    def reword(self, sentences: Sequence[Sentence], seed_of: Callable[[str], int]) -> Mapping[str, Reworded]:
        """What stands for each of the sentences of one video, by the template's words.

        No two of them get the same words: what differs in a template's words stays different.
        """
        (found,) = self.reword_all([(sentences, seed_of)])
        return found

    def reword_all(
        self, videos: Sequence[tuple[Sequence[Sentence], Callable[[str], int]]]
    ) -> list[Mapping[str, Reworded]]:
        """The same for several videos, whose sentences go to the model together."""
        if self._interview is None:
            raise ModelError(f"{self.model.name}: writes only while its folder is held (ModelTeacher.working)")
        asks = [[self._ask(each, seed_of(each.text)) for each in sentences] for sentences, seed_of in videos]
        answers = iter(self._interview.ask([ask for part in asks for ask in part]))
        found: list[Mapping[str, Reworded]] = []
        for sentences, seed_of in videos:
            taken = {each.text for each in sentences}
            words: dict[str, Reworded] = {}
            for each in sentences:
                made = self._judge(each, next(answers), seed_of(each.text), taken)
                taken.add(made.text)
                words[each.text] = made
            found.append(words)
        return found

    def most(self, sentence: str) -> int:
        """How many characters may stand for a sentence."""
        return int(len(sentence) * self.room)

    def _ask(self, sentence: Sentence, seed: int) -> Ask:
        speaker = "the person" if sentence.by_user else "the assistant"
        if sentence.intent == "system":
            speaker = "whoever instructs the assistant"
        values: dict[str, str | int] = {"speaker": speaker, "sentence": sentence.text, "most": self.most(sentence.text)}
        return Ask(prompt=PROMPT, text=PROMPT.fill(values), form=Rewording, seed=seed)

    def _judge(self, sentence: Sentence, answer: Kept, seed: int, taken: set[str]) -> Reworded:
        draft = sentence.text
        if answer.outcome != "said":
            text, wrong = draft, f"{answer.outcome}: {answer.reason}"
        else:
            text = Rewording.model_validate_json(answer.text).text.strip()
            fault = unfaithful(draft, text, sentence.named, by_user=sentence.by_user, most=self.most(draft))
            if fault is None and text != draft and text in taken:
                fault = "says the same as another sentence"
            wrong = "the template's own words" if text == draft else f"unfaithful: {fault}" if fault else ""
        self.kept += bool(wrong)
        self.reworded += not wrong
        return Reworded(sentence, draft if wrong else text, seed, wrong or None)
