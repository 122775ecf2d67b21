"""Records in a model's words: they are drawn in the template's, and what is kept of them is reworded together.

Whatever a draw throws away is never asked for, the sentences of many videos go to the model at once, and nothing that
was drawn depends on what the model says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.core.clock import NS_PER_S, FrameClock
from datasets_build.core.dataset import Subset
from datasets_build.core.decisions import decisions_on
from datasets_build.core.records import Dialogue, Provenance, StreamingQA, Turn, derive_id
from datasets_build.core.speech import SpeechConfig, question_until
from datasets_build.teachers.choose import cache_folder, keep_settings, refuse_silence, spent
from datasets_build.teachers.interview import Interview
from datasets_build.teachers.reword import Drafts, ModelTeacher, Reworded, Sentence, Wording
from datasets_build.teachers.settings import TeachersConfig
from datasets_build.teachers.teacher import Teacher

WORDS = "words"
_VIDEOS_AT_ONCE = 32


class OfVideo(Protocol):
    """Anything that belongs to one video."""

    @property
    def video_id(self) -> str:
        """Which."""
        ...


S = TypeVar("S", bound=OfVideo)
R = TypeVar("R", StreamingQA, Dialogue)
Words = Mapping[str, Reworded]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a stage asks of a model: nothing where there is none."""

    held: Interview | None
    settings: TeachersConfig
    teacher: ModelTeacher | None = None

    @property
    def subsets(self) -> list[Subset]:
        """What a dataset in a model's words holds besides."""
        about = "who wrote a sentence: the template's words, those that stand, and why these are the template's"
        return [Subset(WORDS, Wording, about)] if self.teacher else []

    @property
    def notes(self) -> list[str]:
        """What a dataset's card says of it."""
        if self.teacher is None:
            return []
        model = self.teacher.model
        by = f"`{model.kind}:{model.name}`" + (f" (revision {model.revision})" if model.revision else "")
        return [f"Sentences are a template's in the words of {by}; the subset `{WORDS}` has both, and who wrote which."]

    def counts(self) -> dict[str, int]:
        """For the manifest. Raises ModelError where too little was answered."""
        if self.held is None:
            return {}
        refuse_silence(self.held.tally, self.held.model.kind, self.settings)
        written = {"reworded": self.teacher.reworded, "fell_back": self.teacher.kept} if self.teacher else {}
        return written | spent(self.held.tally, self.held.model.kind, self.settings)


@contextmanager
def writing(teacher: Teacher, out: Path, settings: TeachersConfig) -> Iterator[Asked]:
    """While a stage is written: a teacher that is a model holds the folder of its answers."""
    if not isinstance(teacher, ModelTeacher):
        yield Asked(None, settings)
        return
    keep_settings(out, settings)
    with teacher.working(cache_folder(out, settings)) as held:
        yield Asked(held, settings, teacher)


@dataclass(frozen=True, slots=True)
class Worded(Generic[S, R]):
    """A video's rows as they are to be written, and who wrote each sentence (nothing where one template did)."""

    source: S
    rows: list[R]
    wordings: list[Wording]

    def wordings_of(self, rows: Sequence[R]) -> list[Wording]:
        """Those of the rows that people left as they were: what they changed is theirs."""
        after = {row.id: row for row in rows}
        same = {row.id for row in self.rows if row == after.get(row.id)}
        return [line for line in self.wordings if line.record_id in same]


@dataclass(frozen=True, slots=True)
class Kind(Generic[S, R]):
    """How the rows of one kind are drawn, where their sentences stand, and how other words are put there."""

    draw: Callable[[S, Teacher], list[R]]
    places: Callable[[R], list[tuple[str, str]]]
    put: Callable[[S, R, Words], R]
    seed: int


def worded(sources: Iterable[S], teacher: Teacher, kind: Kind[S, R]) -> Iterator[Worded[S, R]]:
    """The rows of each video, in order, in the words of the teacher. Raises ModelError when a model has gone."""
    if not isinstance(teacher, ModelTeacher):
        for source in sources:
            yield Worded(source, kind.draw(source, teacher), [])
        return
    feed = iter(sources)
    while group := list(islice(feed, _VIDEOS_AT_ONCE)):
        drawn = [_drawn(source, teacher, kind) for source in group]
        seeds = [partial(teacher.seed_for, video_id=source.video_id, seed=kind.seed) for source in group]
        found = teacher.reword_all([(asked, seed) for (_, asked), seed in zip(drawn, seeds, strict=True)])
        for source, (rows, _), words in zip(group, drawn, found, strict=True):
            put = [_by(teacher, kind.put(source, row, words), row, words, kind) for row in rows]
            made = [line for row in rows for line in _wordings(teacher, row, words, kind)]
            yield Worded(source, put, made)


def _drawn(source: S, teacher: ModelTeacher, kind: Kind[S, R]) -> tuple[list[R], list[Sentence]]:
    drafts = Drafts(teacher.template)
    rows = kind.draw(source, drafts)
    texts = dict.fromkeys(text for row in rows for _, text in kind.places(row))
    return rows, [drafts.sentences[text] for text in texts if text in drafts.sentences]


def _by(teacher: ModelTeacher, new: R, old: R, words: Words, kind: Kind[S, R]) -> R:
    """A row with who wrote it: the model, if any sentence is the model's."""
    is_models = any(text in words and words[text].kept is None for _, text in kind.places(old))
    return new.model_copy(update={"provenance": _provenance(teacher, old.provenance)}) if is_models else new


def _provenance(teacher: ModelTeacher, drawn: Provenance, seed: int | None = None) -> Provenance:
    return teacher.provenance(seed=drawn.seed or 0 if seed is None else seed, inputs=drawn.inputs)


def _wordings(teacher: ModelTeacher, row: R, words: Words, kind: Kind[S, R]) -> Iterator[Wording]:
    for place, text in kind.places(row):
        found = words.get(text)
        if found is not None:
            yield Wording(
                id=derive_id("wording", row.id, place),
                video_id=row.video_id,
                record_id=row.id,
                place=place,
                intent=found.sentence.intent,
                draft=text,
                named=found.sentence.named,
                text=found.text,
                kept=found.kept,
                provenance=row.provenance if found.kept else _provenance(teacher, row.provenance, found.seed),
            )


def _said(text: str, words: Words) -> str:
    found = words.get(text)
    return text if found is None else found.text


def question_places(row: StreamingQA) -> list[tuple[str, str]]:
    """The sentences of a question. One with options keeps its answers: in other words they would stand out."""
    answers = () if row.options else row.answers
    return [("question", row.question), *((f"answers.{k}", answer.text) for k, answer in enumerate(answers))]


def question_in(row: StreamingQA, words: Words) -> StreamingQA:
    """A question in other words; its id stays that of the draw."""
    answers = row.answers
    if not row.options:
        answers = tuple(each.model_copy(update={"text": _said(each.text, words)}) for each in answers)
    return row.model_copy(update={"question": _said(row.question, words), "answers": answers})


def unhurried(config: DialogueConfig, room: float) -> DialogueConfig:
    """The settings with which a dialogue is drawn whose sentences may become `room` times as long: time for all."""
    speech = config.speech
    slow = {
        "user_chars_per_s": max(1, int(speech.user_chars_per_s / room)),
        "assistant_chars_per_s": max(1, int(speech.assistant_chars_per_s / room)),
    }
    return config.model_copy(update={"speech": speech.model_copy(update=slow)})


def _whole(turn: Turn) -> str:
    return turn.intended_text or turn.text


def dialogue_places(row: Dialogue) -> list[tuple[str, str]]:
    """The sentences of a dialogue: what the assistant is told to be, and every turn, whole."""
    return [("system", row.system), *((turn.id, _whole(turn)) for turn in row.turns)]


def dialogue_in(row: Dialogue, words: Words, clock: FrameClock, config: DialogueConfig) -> Dialogue:
    """A dialogue in other words, each spoken at the speaker's own speed inside the time that was drawn for it."""
    turns = [_turn_in(turn, _said(_whole(turn), words), clock, config.speech) for turn in row.turns]
    turns.sort(key=lambda turn: (turn.start_ns, turn.role != "user", turn.end_ns, turn.id))
    return row.model_copy(
        update={
            "system": _said(row.system, words),
            "turns": tuple(turns),
            "decisions": tuple(decisions_on(turns, clock, fps=rate) for rate in config.rates),
        }
    )


def _turn_in(turn: Turn, text: str, clock: FrameClock, speech: SpeechConfig) -> Turn:
    if turn.truncated_at_char is not None:
        # The cut stays where it was drawn, at the same share of the words.
        at = min(max(1, turn.truncated_at_char * len(text) // len(_whole(turn))), len(text) - 1)
        return turn.model_copy(update={"text": text[:at], "intended_text": text, "truncated_at_char": at})
    start, end = turn.start_ns, turn.end_ns
    if turn.role == "assistant":
        end = min(end, clock.snap_up(start + max(1, len(text) * NS_PER_S // speech.assistant_chars_per_s)))
    elif turn.interrupts is None:
        start = max(start, question_until(text, end, clock, speech).start_ns)
    return turn.model_copy(update={"start_ns": start, "end_ns": end, "text": text})
