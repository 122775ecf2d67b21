"""Who is in other videos: names of the same split and corpus, as often as videos name them, the same in any order."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from datasets_build.builders import twins
from datasets_build.builders.build import build_events
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.strangers import Strangers
from datasets_build.core.layout import table_path
from datasets_build.core.records import Event
from datasets_build.core.table import TableError
from tests.builders.asking import CLOCK, ENTERS, LEAVES, VIDEO, at, desk
from tests.builders.made import MS, Scene, said, shots_at, video_of, write_out
from tests.builders.worlds import events_in


def events_of(*subjects, origin="captions"):
    """Events of one video in which each of some subjects comes in."""
    rows = [
        said(VIDEO, (1_000 + k) * MS, 2_000 * MS, f"The {who} comes in.", label="enter", subject=who, origin=origin)
        for k, who in enumerate(subjects)
    ]
    return events_in(Scene(VIDEO, CLOCK, shots_at(VIDEO, CLOCK, []), [], rows))


def met(*videos, most=4096):
    """What there is after videos of `(split, id, subjects)`."""
    strangers = Strangers(most=most)
    for split, name, subjects in videos:
        strangers.meet(split, name, events_of(*subjects))
    return strangers


def test_names_are_those_of_other_videos_once_for_each():
    strangers = met(
        ("train", "a", ["tall cook", "grey dog", "grey dog"]),
        ("train", "b", ["grey dog"]),
        ("train", "c", ["old nurse"]),
    )
    assert Counter(strangers.of("train", "a", events_of("tall cook"))) == {"grey dog": 1, "old nurse": 1}
    assert Counter(strangers.of("train", "c", events_of("old nurse"))) == {"grey dog": 2, "tall cook": 1}


def test_two_who_act_together_are_two():
    strangers = met(("train", "a", ["tall cook and grey dog"]))
    assert set(strangers.of("train", "b", events_of("old nurse"))) == {"tall cook", "grey dog"}


def test_another_split_and_another_corpus_are_not_asked():
    strangers = met(("train", "a", ["tall cook"]), ("test", "b", ["grey dog"]))
    strangers.meet("train", "c", events_of("old nurse", origin="news"))
    assert strangers.of("train", "x", events_of("a child")) == ("tall cook",)
    assert strangers.of("train", "x", events_of("a child", origin="news")) == ("old nurse",)
    assert strangers.of("validation", "x", events_of("a child")) == ()


def test_where_everything_is_told_the_absent_have_names_of_their_own():
    strangers = Strangers()
    strangers.meet("train", "a", events_of("red circle", origin="world"))
    assert strangers.of("train", "b", events_of("blue star", origin="world")) == ()


def test_of_very_many_the_same_ones_stay_in_any_order():
    videos = [("train", f"v{k}", [f"guest{k}", "grey dog"]) for k in range(60)]
    found = []
    for seed in range(4):
        order = random.Random(seed).sample(videos, len(videos))
        strangers = met(*order, most=20)
        found.append(strangers.of("train", "other", events_of("tall cook")))
    assert len(found[0]) == 20
    assert len(set(found)) == 1


def test_they_are_read_from_the_events_of_a_folder(tmp_path):
    scenes = []
    for name in ("one", "two"):
        video = video_of(name, CLOCK)
        row = said(video, 1_000 * MS, 2_000 * MS, "In it comes.", label="enter", subject=f"guest {name}", origin="c")
        scenes.append(Scene(video, CLOCK, shots_at(video, CLOCK, []), [], [row]))
    out = write_out(tmp_path / "out", scenes)
    build_events(out, EventsConfig())
    strangers = Strangers.read(out)
    video = scenes[0].video
    assert strangers.of(video.split, video.id, events_in(scenes[0])) == ("guest two",)
    table_path(out, Event).write_bytes(b"no table")
    with pytest.raises(TableError):
        Strangers.read(out)


class TestTwinsOfStrangers:
    """In a corpus of captions what is absent is somebody of another video."""

    told = tuple(row.model_copy(update={"origin": "captions"}) for row in (ENTERS, LEAVES))

    def absent(self, *strangers, seeds=20):
        found = set()
        for seed in range(seeds):
            made = desk(*self.told, seed=seed)
            pair = twins.twins_at(replace(made, strangers=strangers), at(9_500))
            found |= {pair[1].question} if pair else set()
        return found

    def test_it_is_asked_after_by_name(self):
        found = self.absent("tall cook", "old nurse")
        assert all("tall cook" in text or "old nurse" in text for text in found)
        assert {"tall cook" in text for text in found} == {True, False}

    def test_who_shares_a_word_with_the_video_is_none(self):
        assert self.absent("red nurse", "a circle") == set()
        assert all("tall cook" in text for text in self.absent("red nurse", "tall cook"))

    def test_an_article_is_no_word_of_its_own(self):
        assert self.absent("the cook")
        assert self.absent("the") == set()

    def test_only_where_no_other_video_names_anybody_it_is_something_odd(self):
        names = desk().teacher.absent_subjects()
        assert all(any(name in text for name in names) for text in self.absent())
        assert not any(name in text for name in names for text in self.absent("tall cook"))
