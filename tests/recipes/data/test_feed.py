"""Steps come in order and are the same however they are made; what cannot be decoded is counted and has a limit."""

import threading
import time

import pytest
import torch

from recipes.data.course import Course
from recipes.data.features import Sightings
from recipes.data.feed import Feed, Share, Stock
from recipes.data.frame_events import frame_events
from recipes.data.frames import DecodeError, Frames
from recipes.data.mix import Mix, Report
from recipes.data.realtime import realtime
from recipes.data.traces import preferences
from recipes.errors import RecipeError, SkipLimitError
from recipes.settings import InteractConfig, PackConfig, StreamConfig
from tests.recipes.data.lessons import desk, frame_format, how, open_corpus

NOTHING = Report(examples={}, tokens={}, said={}, tasks={}, left={}, unused={})


def stock_of(mix, plan, sightings):
    return Stock(examples=mix.examples, plan=plan, sightings=sightings, how=how())


@pytest.fixture(scope="module")
def found(drawn, tmp_path_factory):
    """Examples of three films, one of which cannot be decoded, and a plan of them."""
    corpus = open_corpus(drawn)
    at = desk(limit=4000)
    examples = []
    for material in corpus.materials["train"]:
        examples += frame_events(material, 4.0, at)
        examples += realtime(material, StreamConfig(), at)
        examples += preferences(material, InteractConfig(rejects=("chatter",)), at, replies={})
    weights = dict.fromkeys({example.source for example in examples}, 1.0)
    mix = Mix(examples, weights, NOTHING, seed=0)
    return mix, Course(mix, PackConfig(tokens=6000, rows=2)), tmp_path_factory.mktemp("cache")


@pytest.fixture
def feed_of(found, films):
    """A way to make feeds over the same examples and cache, closed at the end."""
    mix, plan, cache = found
    made = []

    def make(*, whole=True, share=None, **more):
        frames = Frames(films, frame_format(), decoder="decord", cache=cache)
        sightings = Sightings(frames, frame_format(), tower=None, cache=cache)
        more = {"max_skipped": 1.0 if whole else 0.0} | more
        made.append(Feed(stock_of(mix, plan, sightings), share=share or Share(), **more))
        return made[-1]

    yield make
    for feed in made:
        feed.close()


def same(one, two):
    return one.keys == two.keys and all(
        torch.equal(a, b)
        for a, b in (
            (one.token_ids, two.token_ids), (one.positions, two.positions), (one.sees, two.sees),
            (one.sights.patches, two.sights.patches), (one.rows, two.rows), (one.targets, two.targets),
        )
    )  # fmt: skip


@pytest.mark.parametrize("workers", [1, 2])
def test_steps_made_ahead_are_those_made_on_the_spot(feed_of, workers):
    here = list(feed_of(workers=0).steps(0, 5))
    ahead = list(feed_of(workers=workers).steps(0, 5))
    assert [step.number for step in ahead] == [0, 1, 2, 3, 4]
    for one, two in zip(here, ahead, strict=True):
        assert one.skipped == two.skipped
        assert len(one.batches) == len(two.batches)
        assert all(same(a, b) for a, b in zip(one.batches, two.batches, strict=True))
        assert one.made_s > 0
        assert two.waited_s >= 0


def test_a_run_goes_on_where_it_stood(feed_of):
    whole = list(feed_of().steps(0, 5))
    feed = feed_of(skipped=["earlier"])
    rest = list(feed.steps(3, 5))
    assert "earlier" in feed.skipped
    assert feed.cursor(3).step == 3
    for one, two in zip(whole[3:], rest, strict=True):
        assert all(same(a, b) for a, b in zip(one.batches, two.batches, strict=True))


def test_two_processes_take_the_rows_of_one(feed_of):
    whole = list(feed_of().steps(0, 4))
    parts = [list(feed_of(share=Share(rank=rank, world=2)).steps(0, 4)) for rank in range(2)]
    for number, step in enumerate(whole):
        keys = [key for batch in step.batches for row in batch.keys for key in row]
        ours = [key for part in parts for batch in part[number].batches for row in batch.keys for key in row]
        assert sorted(keys) == sorted(ours)
        assert sorted(step.skipped) == sorted(key for part in parts for key in part[number].skipped)


def test_rows_go_through_together_as_asked(feed_of):
    one = list(feed_of(share=Share(micro=1)).steps(0, 2))
    two = list(feed_of(share=Share(micro=2)).steps(0, 2))
    rows = [[row for batch in step.batches for row in batch.keys] for step in (*one, *two)]
    assert rows[:2] == rows[2:]
    assert max(len(batch.keys) for step in one for batch in step.batches) == 1
    assert max(len(batch.keys) for step in two for batch in step.batches) == 2


def test_what_cannot_be_decoded_is_left_out_and_counted(feed_of, found, films):
    mix, plan, _ = found
    feed = feed_of()
    steps = list(feed.steps(0, len(list(plan.first_epochs())) + 1))
    kept = {key for step in steps for batch in step.batches for row in batch.keys for key in row}
    skipped = {key for step in steps for key in step.skipped}
    assert feed.skipped == skipped
    bad = next(video for video, footage in films.items() if footage.video.uri == "film-2.mp4")
    every = {example.key: example for example in mix.examples}
    assert skipped
    assert {every[key].video_id for key in skipped} == {bad}
    assert not kept & skipped
    assert set(every) <= kept | skipped
    assert all(row for step in steps for batch in step.batches for row in batch.keys)


def test_more_than_allowed_ends_the_run(feed_of):
    feed = feed_of(whole=False)
    with pytest.raises(SkipLimitError, match="cannot be decoded, expected at most 0") as error:
        list(feed.steps(0, 40))
    assert isinstance(error.value.__cause__, DecodeError)
    assert "film-2.mp4" in str(error.value)


def test_pairs_come_together(feed_of):
    pairs = 0
    for step in feed_of().steps(0, 6):
        for batch in step.batches:
            pairs += len(batch.rivals)
            assert bool((batch.utilities[:, 0] > batch.utilities[:, 1]).all())
    assert pairs


class _Broken:
    """Sightings that fail in a way that nobody has foreseen."""

    def shown(self, grids):
        raise ZeroDivisionError("a bug")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_goes_wrong_ahead_reaches_the_caller(found, workers):
    mix, plan, _ = found
    feed = Feed(stock_of(mix, plan, _Broken()), share=Share(), workers=workers)
    with feed, pytest.raises(ZeroDivisionError, match="a bug"):
        next(feed.steps(0, 2))


def test_closing_ends_the_threads(feed_of):
    before = threading.active_count()
    feed = feed_of(workers=2)
    steps = feed.steps(0, 100)
    next(steps)
    assert threading.active_count() > before
    feed.close()
    feed.close()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feed")]
    with pytest.raises(RecipeError, match="it is closed"):
        next(steps)


class _Slow:
    """Sightings that take their time."""

    def __init__(self, sightings):
        self.sightings = sightings

    def shown(self, grids):
        time.sleep(0.05)
        return self.sightings.shown(grids)


def test_waiting_is_measured(found, films):
    mix, plan, cache = found
    frames = Frames(films, frame_format(), decoder="decord", cache=cache)
    slow = _Slow(Sightings(frames, frame_format(), tower=None, cache=cache))
    with Feed(stock_of(mix, plan, slow), share=Share(), workers=0, max_skipped=1.0) as feed:
        (step,) = feed.steps(0, 1)
    assert step.waited_s >= step.made_s >= 0.05


@pytest.mark.parametrize("share", [{"rank": 1}, {"rank": -1}, {"micro": 0}])
def test_a_share_that_is_none(share):
    with pytest.raises(RecipeError, match="expected a rank below the world"):
        Share(**share)
