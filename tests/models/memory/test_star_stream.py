"""Stars and stream against a slow reference that starts from nothing after every event."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import FrameError, SettingsError
from models.memory.policy import Chunk, MemorySettings, build_policy
from tests.laws import examples
from tests.models.memory.streams import S, Tick, chunk, picture, small, step, streams


def grey(shown):
    return 0.299 * shown[..., 0] + 0.587 * shown[..., 1] + 0.114 * shown[..., 2]


def mean_of(event):
    mean = event.features.float().mean(0)
    return mean / mean.norm()


def score(event, before, known, rules):
    """(importance, scene change) of a chunk, given the one before and the stars of that moment."""
    if rules.semantic:
        moved = min(1.0, max(0.0, 1 - max((float(mean_of(star) @ mean_of(event)) for star in known), default=0.0)))
        scene = before is None or moved > rules.scene_novelty
    else:
        change = 0 if before is None else np.abs(event.thumbnail.astype(int) - before.thumbnail.astype(int)).mean()
        moved, scene = change / 255, before is None or change / 255 > rules.scene_motion
    weighed = rules.motion_weight * moved + rules.complexity_weight * grey(event.thumbnail).std() / 128
    return round(float(weighed), 6), scene


def drop_weakest(stars, rules):
    """Too many stars: the least important of the unpinned goes (of equals the newest), else of the pinned scenes."""
    while len(stars) > rules.star_capacity:
        others = sorted(stars)[1:]
        loose = [key for key in others if not stars[key][1]]
        if loose:
            worst = min(stars[key][0] for key in loose)
            del stars[max(key for key in loose if stars[key][0] == worst)]
        else:
            worst = min(stars[key][0] for key in others)
            del stars[min(key for key in others if stars[key][0] == worst)]


def reference(events, rules):
    """(stars, stream) of a whole history, recomputed from its first event."""
    chunks, scores, stars, stream = {}, {}, {}, []
    before = None
    for event in events:
        leaving = []
        if isinstance(event, Chunk):
            chunks[event.key] = event
            scores[event.key] = score(event, before, [chunks[key] for key in stars], rules)
            before = event
            if scores[event.key][1]:
                stars[event.key] = scores[event.key]
                drop_weakest(stars, rules)
            stream.append(event.key)
            leaving, stream = stream[: -rules.stream_capacity], stream[-rules.stream_capacity :]
        elif not isinstance(event, Tick):
            continue
        now_ns = event.t1_ns if isinstance(event, Chunk) else event.now_ns
        old = [key for key in stream if rules.window_ns and chunks[key].t1_ns <= now_ns - rules.window_ns]
        stream = [key for key in stream if key not in old]
        for key in leaving + old:
            stars[key] = scores[key]
            drop_weakest(stars, rules)
    return tuple(sorted(stars)), tuple(stream)


def rules(**changes):
    return MemorySettings.from_json(MemorySettings(star_capacity=3, stream_capacity=4).to_json() | changes)


@settings(max_examples=examples(50))
@given(events=streams(), window_s=st.none() | st.just(5.0), semantic=st.booleans(), capacity=st.integers(1, 4))
def test_the_incremental_update_equals_a_recomputation_after_every_event(events, window_s, semantic, capacity):
    chosen = rules(window_s=window_s, semantic=semantic, star_capacity=capacity)
    policy = build_policy("star_stream", settings=chosen)
    for index, event in enumerate(events):
        step(policy, event)
        stars, stream = reference(events[: index + 1], chosen)
        assert policy.stars() == stars
        assert policy.live() == tuple(sorted({*stars, *stream}))


@settings(max_examples=examples(25))
@given(events=streams(max_size=40), semantic=st.booleans(), budget=st.none() | st.integers(6, 12))
def test_the_first_chunk_never_leaves_and_stars_stay_few(events, semantic, budget):
    policy = small("semantic" if semantic else "star_stream", max_tokens=budget)
    first = next((event.key for event in events if isinstance(event, Chunk)), None)
    for event in events:
        step(policy, event)
        if policy.live():
            assert policy.live()[0] == first
            assert first in policy.pinned()
        assert len(policy.stars()) <= 3
        assert len(policy.live()) <= 7
        assert policy.pinned() <= set(policy.stars())


def scenes(levels):
    """One chunk a second, each a flat picture of its brightness: motion is the step, complexity nothing."""
    return [
        Chunk(key=k, t0_ns=k * S, t1_ns=k * S + S, tokens=2, thumbnail=np.full((4, 4, 3), level, np.uint8))
        for k, level in enumerate(levels)
    ]


def run(levels, **changes):
    policy = build_policy("star_stream", settings=rules(**changes))
    return policy, [policy.observe(event) for event in scenes(levels)]


def test_what_mattered_is_promoted_as_it_leaves_where_the_published_rule_keeps_the_first_frame_alone():
    # Steps of 60 of 255 are no scene change (0.235 < 0.3); importance is 0.165 at most, far below 0.6.
    levels = [100, 100, 160, 160, 160, 100, 101, 102, 103, 104, 105, 106, 107, 108]
    policy, changes = run(levels)
    published = [k for k in range(len(levels)) if k == 0 or 0.7 * abs(levels[k] - levels[k - 1]) / 255 > 0.6]
    assert published == [0]
    assert policy.stars() == (0, 2, 5)
    assert policy.pinned() == {0}
    assert policy.live() == (0, 2, 5, 10, 11, 12, 13)
    assert sorted(key for change in changes for key in change.evict) == [1, 3, 4, 6, 7, 8, 9]


def test_a_scene_change_is_pinned_at_once_and_lives_once_though_it_is_star_and_stream():
    policy, _ = run([0, 0, 100, 100])
    assert policy.pinned() == {0, 2}
    assert policy.live() == (0, 1, 2, 3)
    exactly, _ = run([0, 51], scene_motion=0.2)
    assert exactly.pinned() == {0}, "a scene change is a motion ABOVE the threshold"


def test_a_scene_change_takes_the_place_of_the_least_important_star_that_is_not_pinned():
    policy, _ = run([100, 130, 190, 190, 190, 190, 190])
    assert policy.stars() == (0, 1, 2)
    change = policy.observe(chunk(7, level=0))
    assert policy.stars() == (0, 2, 7)
    assert change.evict == (1, 3)


def test_too_many_scene_changes_lose_the_least_important_never_the_first():
    # Motions 0.78, 0.35, 0.59 and 0.39: of all but the first only two can stay.
    policy, _ = run([0, 200, 110, 110, 110, 110, 110, 110])
    assert policy.stars() == (0, 1, 2)
    policy, _ = run([0, 200, 110, 110, 110, 110, 110, 110, 110, 110, 110, 110, 110, 110, 110, 110, 110, 255])
    assert policy.stars() == (0, 1, 17)
    assert 2 not in policy.live()
    # Of equals the oldest goes.
    policy, _ = run([0, 100, 0, 100, 0, 100, 0, 100, 0, 100])
    assert policy.stars() == (0, 8, 9)


def test_a_scene_change_that_loses_its_star_lives_on_in_the_stream():
    policy, changes = run([0, 200, 110, 255])
    assert policy.stars() == (0, 1, 3)
    assert policy.live() == (0, 1, 2, 3)
    assert not any(change.evict for change in changes)


def test_equals_do_not_push_each_other_out():
    policy, _ = run([50] * 20)
    assert policy.stars() == (0, 1, 2)


def test_ticks_let_the_stream_run_out_but_not_the_stars():
    policy, _ = run([0, 100, 100, 100], window_s=2.0)
    assert policy.expire(100 * S).evict == (3,)
    assert policy.live() == (0, 1, 2)


def test_a_camera_that_turns_away_and_back_is_novel_once_when_judged_by_features():
    policy = build_policy("star_stream", settings=rules(semantic=True, star_capacity=5, stream_capacity=2))
    for key, direction in enumerate([0, 0, 0, 3, 3, 3, 0, 0, 3, 3]):
        features = torch.eye(6)[direction].expand(2, 6)
        # The picture flickers at every chunk: by motion each would be a scene change.
        level = key % 2 * 200
        policy.observe(
            Chunk(key=key, t0_ns=key, t1_ns=key + 1, tokens=2, thumbnail=picture(level, 0), features=features)
        )
    assert policy.pinned() == {0, 3}


def test_a_picture_of_another_size_is_refused_and_changes_nothing():
    policy, _ = run([0, 100])
    before = policy.live(), policy.stars(), policy.nbytes()
    with pytest.raises(FrameError, match="cannot be compared"):
        policy.observe(Chunk(key=9, t0_ns=9 * S, t1_ns=10 * S, tokens=2, thumbnail=np.zeros((5, 4, 3), np.uint8)))
    assert (policy.live(), policy.stars(), policy.nbytes()) == before


def test_a_budget_shrinks_stars_and_stream_alike():
    levels = [k * 37 % 256 for k in range(60)]
    full, _ = run(levels, star_capacity=10, stream_capacity=10)
    tight, _ = run(levels, star_capacity=10, stream_capacity=10, max_tokens=20)
    assert len(full.live()) > 15
    assert len(tight.live()) == 10
    assert len(tight.stars()) == 5
    assert full.max_tokens(chunk_tokens=2) == 40
    assert tight.max_tokens(chunk_tokens=2) == 20


@settings(max_examples=examples(25))
@given(events=streams(tokens=(1, 2)), stars=st.integers(1, 9), stream=st.integers(1, 3), budget=st.integers(4, 9))
def test_whatever_the_capacities_a_budget_never_costs_the_first_or_the_newest(events, stars, stream, budget):
    policy = build_policy("star_stream", settings=rules(star_capacity=stars, stream_capacity=stream, max_tokens=budget))
    keys = [event.key for event in events if isinstance(event, Chunk)]
    for event in events:
        step(policy, event)
        if isinstance(event, Chunk):
            assert {keys[0], event.key} <= set(policy.live())


def test_a_budget_holds_the_first_and_the_newest_or_refuses():
    policy = build_policy("star_stream", settings=rules(max_tokens=3))
    policy.observe(chunk(0))
    with pytest.raises(SettingsError, match="must keep 4 tokens, but max_tokens is 3"):
        policy.observe(chunk(1))
    policy.observe(chunk(1, tokens=1))
    assert policy.live() == (0, 1)


@pytest.mark.parametrize(("limit", "pinned"), [(0.2, {0, 1}), (0.4, {0})])
def test_novelty_has_its_own_limit(limit, pinned):
    policy = build_policy("star_stream", settings=rules(semantic=True, scene_novelty=limit, scene_motion=0.3))
    for key, features in enumerate([torch.tensor([[1.0, 0.0]]), torch.tensor([[0.75, 0.4375**0.5]])]):
        still = picture(100, 0)
        policy.observe(Chunk(key=key, t0_ns=key, t1_ns=key + 1, tokens=1, thumbnail=still, features=features))
    assert policy.pinned() == pinned  # the second is novel by 0.25
