"""Laws of words that a model wrote: each sentence is told with the template's, which is true and says the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from datasets_build.checks.answers import TRUTH_LAWS
from datasets_build.checks.laws import Breach, Known, Law, Ledger
from datasets_build.checks.replies import REPLY_LAWS
from datasets_build.core.layout import VideoRows
from datasets_build.core.records import Dialogue, Split, StreamingQA, Turn, Video
from datasets_build.teachers.faithful import unfaithful
from datasets_build.teachers.reword import Wording
from datasets_build.teachers.template import load_template

TOLD = ("words_told", "every sentence of a record in a model's words is told, with the template's and who wrote it")
SAME = ("words_say_the_same", "a model's words say what the template's say: the same facts, no time, no more")
DRAFTS = ("drafts_fit", "the template's sentences behind a model's words say what is asked, and what is true")
_OF_WORDS = frozenset({"words_fit", "turn_words_fit", "report_words_fit"})
_QUESTION_LAWS: tuple[Law[StreamingQA], ...] = tuple(law for law in TRUTH_LAWS if law.name in _OF_WORDS)
_DIALOGUE_LAWS: tuple[Law[Dialogue], ...] = tuple(law for law in REPLY_LAWS if law.name in _OF_WORDS)
Lines = Mapping[str, Wording]


class WordedRun:
    """The subset `words` of a dataset, held against its records video by video; nothing where there is none."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder, self._ledger = folder, ledger
        self._rows: dict[Split, VideoRows[Wording]] = {}
        for path in sorted((folder / "words").glob("*.parquet")):
            split: Split = path.stem  # type: ignore[assignment]  # the files are named by their splits
            self._rows[split] = VideoRows(path, Wording)

    def lines(self, video: Video) -> dict[str, dict[str, Wording]]:
        """The sentences of a video, by record and place; asked for in the order of the videos."""
        found: defaultdict[str, dict[str, Wording]] = defaultdict(dict)
        for line in self._rows[video.split].take(video.id) if video.split in self._rows else ():
            found[line.record_id][line.place] = line
        return dict(found)

    def judge(self, file: str, row: StreamingQA | Dialogue, lines: Lines, known: Known) -> None:
        """Hold one record against its sentences."""
        if not self._rows or row.provenance.kind != "model":
            return
        texts = _texts(row)
        self._ledger.note(*TOLD, file, row.id, list(_told(texts, lines)))
        for line in lines.values():
            fault = None if line.kept else _fault(line)
            self._ledger.note(*SAME, file, row.id, [Breach(f"{line.text!r}: {fault}", line.draft)] if fault else [])
        self._ledger.note(*DRAFTS, file, row.id, list(_untrue(row, lines, known)))


def _fault(line: Wording) -> str | None:
    # How much longer they may be is a setting; that they fit their time is a law of its own.
    by_user = line.intent.startswith("ask_")
    return unfaithful(line.draft, line.text, line.named, by_user=by_user, most=len(line.text))


def _texts(row: StreamingQA | Dialogue) -> dict[str, str]:
    if isinstance(row, Dialogue):
        return {"system": row.system} | {turn.id: turn.intended_text or turn.text for turn in row.turns}
    answers = () if row.options else row.answers
    return {"question": row.question} | {f"answers.{k}": answer.text for k, answer in enumerate(answers)}


def _told(texts: Mapping[str, str], lines: Lines) -> Iterator[Breach]:
    for place, text in texts.items():
        line = lines.get(place)
        if line is None:
            yield Breach(f"no row of words for {place}", "who wrote it")
        elif line.text != text:
            yield Breach(f"{place} {text!r}", f"{line.text!r}, as its row of words says")
        elif (line.provenance.kind == "model") != (line.kept is None) or (line.kept and line.text != line.draft):
            yield Breach(f"{place} by a {line.provenance.kind}, kept {line.kept}", "the template's words where kept")
    for place in lines.keys() - texts.keys():
        yield Breach(f"a row of words for {place}", "a sentence of the record")


def _untrue(row: StreamingQA | Dialogue, lines: Lines, known: Known) -> Iterator[Breach]:
    """Where the record in the template's words would break the laws of a template's words."""
    by = load_template().provenance(seed=row.provenance.seed or 0, inputs=row.provenance.inputs)
    drafts = {place: line.draft for place, line in lines.items()}
    if isinstance(row, Dialogue):
        turns = tuple(_drafted(turn, drafts) for turn in row.turns)
        talk = row.model_copy(update={"turns": turns, "provenance": by})
        for reply_law in _DIALOGUE_LAWS:
            yield from reply_law.breaches(talk, known)
        return
    answers = tuple(
        answer.model_copy(update={"text": drafts.get(f"answers.{k}", answer.text)})
        for k, answer in enumerate(row.answers)
    )
    question = drafts.get("question", row.question)
    asked = row.model_copy(update={"question": question, "answers": answers, "provenance": by})
    for law in _QUESTION_LAWS:
        yield from law.breaches(asked, known)


def _drafted(turn: Turn, drafts: Mapping[str, str]) -> Turn:
    whole = drafts.get(turn.id, turn.intended_text or turn.text)
    return turn.model_copy(update={"text": whole, "intended_text": whole if turn.intended_text else None})
