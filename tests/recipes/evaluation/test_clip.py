"""Clips from records, and their pictures."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from datasets_build.core.records import DecoderTrust, Event, Provenance
from datasets_build.video import VideoError, probe
from recipes.data.corpus import Material
from recipes.errors import CorpusError
from recipes.evaluation import clip as clips
from recipes.evaluation.clip import GREY, Pictures, clip_of, clips_of
from tests.drawn import VideoSpec, draw_video, frame_number
from tests.recipes.evaluation.made import S, clip
from tests.recipes.evaluation.test_script import TALK, answer, question

RULE = Provenance(kind="rule", agent="made")


def event(start_s, end_s, label="move", subject="red circle", known_s=None):
    return Event(
        id=f"{label}{start_s}", video_id="v", start_ns=round(start_s * S), end_ns=round(end_s * S), label=label,
        label_set="made", caption="It moves.", subject=subject, known_from_ns=round((known_s or start_s) * S),
        confidence=1.0, source="human", provenance=RULE,
    )  # fmt: skip


def material(**rows):
    made = clip()
    grids = tuple(SimpleNamespace(t1_ns=t) for t in made.grids_ns)
    footage = SimpleNamespace(
        showing=None, video=made.video, path=made.path, clock=made.clock, times=made.times_ns, grids=grids
    )
    return Material(footage=footage, **rows)


def test_a_clip_sorts_its_records():
    late, soon = question(answer(4, "A"), ask_s=4), question(answer(2, "A"), ask_s=2)
    waits = question(answer(9, "B"), mode="forward")
    made = clip_of(material(questions=(late, soon, waits), dialogues=(TALK,), events=(event(1, 3),)))
    assert [one.t_ns for one in made.asks] == [2 * S, 4 * S]
    assert [one.kind for one in made.scripts] == ["standing", "dialogue"]
    assert made.borders_ns == (S, 3 * S)
    assert made.video_id == "v"


def test_of_a_conversation_with_wrong_or_lost_answers_nothing_is_right():
    wrong = TALK.model_copy(
        update={"turns": tuple(turn.model_copy(update={"learn": turn.role == "user"}) for turn in TALK.turns)}
    )
    assert len(clip_of(material(dialogues=(TALK, wrong))).scripts) == 1


def test_what_is_on_at_each_grid():
    made = clip_of(material(events=(event(1, 2), event(1.2, 1.3, "enter"), event(4, 6, known_s=5, subject=None))))
    on = {row.t_ns / S: row.names for row in made.on}
    assert on[0.5] == on[3] == on[4.5] == ()
    assert on[1.0] == ("move: red circle",)
    assert on[1.5] == ("enter: red circle", "move: red circle")
    assert on[5.0] == ("move",)
    assert list(on) == [t / S for t in made.grids_ns]


def test_without_events_nothing_is_asked_about_them():
    assert clip_of(material()).on == ()


def test_clips_of_a_split():
    corpus = SimpleNamespace(materials={"test": (material(), material()), "train": ()})
    assert len(clips_of(corpus, "test")) == 2
    assert len(clips_of(corpus, "test", most=1)) == 1
    with pytest.raises(CorpusError, match="split train: found no video"):
        clips_of(corpus, "train")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A clip whose frames bear their numbers."""
    from dataclasses import replace

    path = tmp_path_factory.mktemp("film") / "a.mp4"
    truth = draw_video(path, VideoSpec(rate=Fraction(10), frames=20, size=(96, 96)))
    clock = probe(path).clock
    assert len(truth.numbers) == 20
    video = clip().video.model_copy(update={"decoders": (DecoderTrust(name="pyav", trusted=True),)})
    return replace(clip(), path=path, clock=clock, times_ns=tuple(range(0, 2 * S, S // 4)), video=video)


def test_pictures_are_those_on_screen_at_their_times(film, monkeypatch):
    pictures = Pictures(film, decoder="pyav")
    expected = [int(t // (S // 10)) for t in film.times_ns]
    for chunk in (64, 3):
        monkeypatch.setattr(clips, "CHUNK", chunk)
        for place in range(len(expected)):
            found = list(Pictures(film, decoder="pyav").since(place))
            assert [frame_number(picture) for picture, _ in found] == expected[place:]
            assert [t for _, t in found] == list(film.times_ns[place:])
    monkeypatch.setattr(clips, "CHUNK", 64)
    # A second time they come from memory.
    list(pictures.since())
    film.path.rename(film.path.with_suffix(".away"))
    try:
        assert [frame_number(picture) for picture, _ in pictures.since(2)] == expected[2:]
    finally:
        film.path.with_suffix(".away").rename(film.path)


def test_a_long_video_is_read_again(film, monkeypatch):
    monkeypatch.setattr(clips, "KEPT_BYTES", 1)
    pictures = Pictures(film, decoder="pyav")
    assert len(list(pictures.since())) == len(list(pictures.since())) == len(film.times_ns)
    assert pictures._kept == []


def test_blind_pictures_are_grey_and_as_large(film):
    found = list(Pictures(film, decoder="pyav", variant="blind").since(3))
    assert [t for _, t in found] == list(film.times_ns[3:])
    assert {picture.shape for picture, _ in found} == {(96, 96, 3)}
    assert all((picture == GREY).all() and picture.dtype == np.uint8 for picture, _ in found)


def test_a_video_that_is_gone_is_an_error(film, tmp_path):
    from dataclasses import replace

    gone = replace(film, path=tmp_path / "gone.mp4")
    for variant in ("seen", "blind"):
        with pytest.raises(VideoError):
            list(Pictures(gone, decoder="pyav", variant=variant).since())
