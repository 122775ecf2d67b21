"""Which laws hold for imported records, and which records count as imported."""

from __future__ import annotations

import pytest

from datasets_build.checks.causality import QUESTION_LAWS
from datasets_build.checks.conversation import DIALOGUE_LAWS
from datasets_build.checks.imported import IMPORTED_DIALOGUE_LAWS, IMPORTED_QUESTION_LAWS, Imports
from datasets_build.checks.laws import Known
from datasets_build.core.augmentation import AUGMENTED
from datasets_build.core.clock import NS_PER_S
from datasets_build.core.records import Answer, Evidence, Provenance
from datasets_build.core.table import write_table
from datasets_build.formats.foreign import TABLE, Foreign
from datasets_build.formats.forms import FORMS
from tests.formats.rowed import place_of

ITEM = {
    "id": 0, "task": "EPM", "video": "clip.mp4", "realtime": 5, "question": "At 0:12, who?", "answer": "A",
    "options": ["A", "B"], "gt": 0,
}  # fmt: skip


@pytest.fixture
def place():
    return place_of()


@pytest.fixture
def question(place):
    return FORMS["ovo_bench"].rows.read(ITEM, place).questions[0]


def broken(row, place, laws):
    known = Known(place.video, place.clock, {})
    return {law.name for law in laws for _ in law.breaches(row, known)}


def listing(tmp_path, *records):
    (tmp_path / "import").mkdir()
    row = Foreign(id="f", video_id="v", format="x", file="x", sha256="0", item=0, records=tuple(records))
    write_table(tmp_path / TABLE, Foreign, [row])
    return Imports(tmp_path)


def test_all_laws_of_imported_records_are_laws_of_ours():
    assert set(IMPORTED_QUESTION_LAWS) < set(QUESTION_LAWS)
    assert set(IMPORTED_DIALOGUE_LAWS) < set(DIALOGUE_LAWS)


def test_words_of_a_corpus_are_its_own(question, place):
    assert broken(question, place, IMPORTED_QUESTION_LAWS) == set()
    assert "question_without_clock" in broken(question, place, QUESTION_LAWS)


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({"evidence": (Evidence(start_ns=0, end_ns=6 * NS_PER_S),)}, "answerable_from_evidence"),
        ({"answerable_from_ns": 6 * NS_PER_S}, "answer_after_evidence"),
        ({"ask_ns": 6 * NS_PER_S}, "answer_after_question"),
        ({"answers": ()}, "question_says_something"),
        ({"mode": "forward"}, "mode_fits"),
        ({"correct_option": 2}, "question_says_something"),
    ],
)
def test_a_planted_fault_in_an_imported_question_is_found(question, place, changes, law):
    assert law in broken(question.model_copy(update=changes), place, IMPORTED_QUESTION_LAWS)


def test_a_window_that_opens_too_soon_is_found(question, place):
    at = question.ask_ns
    early = Answer(text="A", t_ns=at, window_start_ns=at - 40_000_000, window_end_ns=at + NS_PER_S)
    assert "answer_window" in broken(question.model_copy(update={"answers": (early,)}), place, IMPORTED_QUESTION_LAWS)


def test_two_turns_at_once_and_a_turn_before_its_proof_are_found(place):
    row = {
        "video_uid": "clip",
        "conversation": [
            {"role": "user", "content": "Tell me.", "time": 1},
            {"role": "assistant", "content": "It fell.", "time": 5, "timespan": [3, 5]},
            {"role": "assistant", "content": "It rose.", "time": 7, "timespan": [6, 8]},
        ],
    }
    dialogue = FORMS["mmduet"].rows.read(row, place).dialogues[0]
    assert broken(dialogue, place, IMPORTED_DIALOGUE_LAWS) == set()
    first, second, third = dialogue.turns
    long = second.model_copy(update={"end_ns": third.start_ns + 40_000_000})
    assert "turns_apart" in broken(_with(dialogue, first, long, third), place, IMPORTED_DIALOGUE_LAWS)
    soon = second.model_copy(update={"start_ns": 4 * NS_PER_S})
    assert "turn_after_evidence" in broken(_with(dialogue, first, soon, third), place, IMPORTED_DIALOGUE_LAWS)
    assert "decisions_derived" in broken(_with(dialogue, first, second), place, IMPORTED_DIALOGUE_LAWS)


def _with(dialogue, *turns):
    return dialogue.model_copy(update={"turns": turns})


def test_who_counts_as_imported(tmp_path, question):
    imports = listing(tmp_path, question.id)
    assert imports.has(question)
    template = question.model_copy(update={"provenance": Provenance(kind="template", agent="t")})
    assert not imports.has(template)
    for parent, expected in ((question.id, True), ("another", False)):
        person = Provenance(kind="person", agent="p", inputs=(parent,))
        assert imports.has(question.model_copy(update={"provenance": person})) is expected
    alone = Provenance(kind="person", agent="p")
    assert not imports.has(question.model_copy(update={"provenance": alone}))


def test_a_record_has_to_be_listed_unless_it_was_augmented(tmp_path, question, place):
    video = place.video
    assert list(listing(tmp_path, question.id).unlisted(question, video)) == []
    stranger = question.model_copy(update={"id": "s"})
    imports = Imports(tmp_path)
    assert len(list(imports.unlisted(stranger, video))) == 1
    assert list(imports.unlisted(stranger, video.model_copy(update={"source": AUGMENTED}))) == []


def test_a_folder_without_an_import_lists_nothing(tmp_path, question, place):
    imports = Imports(tmp_path)
    assert imports.has(question)
    assert len(list(imports.unlisted(question, place.video))) == 1
