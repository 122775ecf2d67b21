"""The folder whose records people correct: its videos with their clocks, and the rows of one kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotate.errors import AnnotateError
from annotate.sheets import is_asked, marks_in, questions_in, turns_in
from annotate.tasks import Kind, Sheet
from datasets_build.core.clock import FrameClock, Span
from datasets_build.core.files import read_json
from datasets_build.core.layout import by_video, clock_of, dataset_rows, read_videos, table_path, video_path
from datasets_build.core.perceived import Keyframe
from datasets_build.core.records import Dialogue, Event, StreamingQA, Video
from datasets_build.core.table import read_table

STAGES: dict[Kind, str] = {"events": "events", "qa": "streaming_qa", "dialogue": "dialogue"}
"""The stage whose records each kind of work is about."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Film:
    """A video with the records of one kind.

    Attributes:
        video: its record.
        path: its file.
        clock: when each of its frames is shown.
        events: of it, whatever the kind.
        keyframes: of it, without their pictures; none where it was not perceived.
        questions, dialogues: of it, where they are what is asked about.
    """

    video: Video
    path: Path
    clock: FrameClock
    events: Sequence[Event]
    keyframes: Sequence[Keyframe] = ()
    questions: Sequence[StreamingQA] = ()
    dialogues: Sequence[Dialogue] = ()

    @property
    def busy(self) -> list[Span]:
        """What one person should see in one piece: events, questions with their first answers, turns."""
        asked = [Span(start_ns=row.ask_ns, end_ns=row.answers[0].t_ns) for row in self.questions if row.answers]
        said = [Span(start_ns=turn.start_ns, end_ns=turn.end_ns) for row in self.dialogues for turn in row.turns]
        return [*(event.span for event in self.events), *asked, *said]

    def sheet(self, kind: Kind, span: Span) -> Sheet:
        """What is asked of a person who watches a stretch of it.

        What is said at the video's very end, behind its last frame, is asked with its last stretch.
        """
        if kind == "events":
            return marks_in(self.events, span)
        if span.end_ns == self.clock.end_ns:
            span = Span(start_ns=span.start_ns, end_ns=span.end_ns + 1)
        return questions_in(self.questions, span) if kind == "qa" else turns_in(self.dialogues, span)


def check_folder(out: Path, kind: Kind) -> None:
    """Raises AnnotateError where a folder is no finished output with records of a kind."""
    for stage in ("index", "events", STAGES[kind]):
        if not (out / stage / "manifest.json").is_file():
            raise AnnotateError(f"{out}: holds no finished {stage}; expected an output of python -m datasets_build")
    if (out / "augment" / "manifest.json").is_file():
        raise AnnotateError(f"{out}: is augmented; people correct the folder that it was made of")


def films(out: Path, kind: Kind) -> Iterator[Film]:
    """Every usable video of a finished folder, in the order of its index.

    Raises:
        AnnotateError: the folder is not finished, or augmented.
        DataError: one of its files cannot be read.
    """
    check_folder(out, kind)
    events = by_video(read_table(table_path(out, Event), Event))
    keyframes = by_video(_keyframes(out))
    questions = by_video(dataset_rows(out, "streaming_qa/qa", StreamingQA) if kind == "qa" else ())
    dialogues = by_video(dataset_rows(out, "dialogue/dialogues", Dialogue) if kind == "dialogue" else ())
    for video in read_videos(out):
        if video.status != "quarantined":
            yield Film(
                video=video,
                path=video_path(out, video),
                clock=clock_of(out, video),
                events=events.get(video.id, ()),
                keyframes=keyframes.get(video.id, ()),
                questions=questions.get(video.id, ()),
                dialogues=dialogues.get(video.id, ()),
            )


def _keyframes(out: Path) -> Iterator[Keyframe]:
    path = table_path(out, Keyframe)
    for row in read_table(path, Keyframe) if path.is_file() else ():
        yield row.model_copy(update={"jpeg": b""})


def labels_of(out: Path) -> tuple[str, ...]:
    """The labels that people choose from: those of the folder's events, in alphabetical order."""
    return tuple(sorted({event.label for event in read_table(table_path(out, Event), Event) if is_asked(event)}))


def digest_of(out: Path, kind: Kind) -> str:
    """What stands for the records of a kind as they are now: the fingerprint of their stage."""
    manifest = read_json(out / STAGES[kind] / "manifest.json")
    found = manifest.get("fingerprint") if isinstance(manifest, dict) else None
    if not isinstance(found, str):
        raise AnnotateError(f"{out / STAGES[kind]}/manifest.json: field fingerprint is {found!r}, expected text")
    return found
