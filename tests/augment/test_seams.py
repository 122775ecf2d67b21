"""Seams, case by case: what of the two sides is measured, how far apart it must be, and when nothing is certain."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.clip import Clip
from augment.seams import DETAIL, LIGHT, STILL, is_told, judge_seams
from augment.temporal import concat, crop, loop, reverse, skip
from augment.view import View
from datasets_build.core.perceived import Signals
from datasets_build.core.records import Event, Provenance
from datasets_build.core.topics import PICTURE_SET
from datasets_build.perception.signals import SignalMeter, SignalsConfig, stretch
from tests.augment.views import views
from tests.builders.made import clock_from, shots_at, video_of
from tests.laws import examples

MS = 1_000_000
CLOCK = clock_from([50] * 39, last_ms=50)
EVERY = 3
"""Every so manieth frame is measured, from the first on."""
LIMITS = {"luma": LIGHT, "contrast": LIGHT, "complexity": DETAIL}


def measured(frames=range(0, 40, EVERY), *, parts=(), local=0.0, name="a", clock=CLOCK, **curves):
    """Signals at some frames, 0.5 where nothing is said; `parts` are the places at which a new stretch begins."""
    frames, columns = list(frames), {}
    for field in ("luma", "contrast", "motion", "complexity", "pan_x", "pan_y", "zoom"):
        columns[field] = [float(curves.get(field, lambda k: 0.5)(k)) for k in frames]
    columns["local_motion"] = [local] * len(frames)
    columns["t_ns"] = [clock.time_of(k) for k in frames]
    borders = [0, *parts, len(frames)]
    return [
        Signals(id=f"{name}{low}", video_id=name, ordinal=k, **{f: tuple(v[low:high]) for f, v in columns.items()})
        for k, (low, high) in enumerate(pairwise(borders))
    ]


def event(label, frame, *, label_set="world", end=None):
    start, end = CLOCK.time_of(frame), CLOCK.time_of(frame if end is None else end)
    return Event(
        id=f"{label}{frame}",
        video_id="a",
        start_ns=start,
        end_ns=end,
        label=label,
        label_set=label_set,
        caption="Something does.",
        is_point=start == end,
        known_from_ns=end,
        confidence=1.0,
        source="annotation",
        provenance=Provenance(kind="corpus", agent="world"),
    )


def cut(frame):
    return event("shot_start", frame, label_set=PICTURE_SET)


def clip(signals=(), *events, cuts=(), name="a", clock=CLOCK):
    video = video_of(name, clock).model_copy(update={"id": name, "video_id": name})
    return Clip(video=video, clock=clock, events=events, signals=signals, shots=shots_at(video, clock, cuts))


def verdicts(view, *clips):
    return judge_seams(view, {c.video.id: c for c in clips})


def looped(there, first=0, stop=40):
    """What is seen where a stretch of a clip is shown twice."""
    (found,) = verdicts(loop(crop(View.whole(there.video.id, CLOCK), first, stop), 2), there)
    return found


def step(at, by):
    """A curve that rises at a frame."""
    return lambda k: 0.5 + by * (k >= at)


def test_one_piece_has_no_seam():
    assert verdicts(View.whole("a", CLOCK), clip()) == ()


def test_a_frame_looks_like_itself_and_goes_on_with_the_next():
    assert looped(clip(), 7, 8) == looped(clip(), 7, 9) == "alike"
    view = concat([crop(View.whole("a", CLOCK), 0, 20), crop(View.whole("a", CLOCK), 20, 40)])
    assert verdicts(view, clip()) == ("alike",)
    assert verdicts(reverse(view), clip()) == ("alike",)


def test_the_next_frame_may_be_that_of_another_shot():
    view = concat([crop(View.whole("a", CLOCK), 0, 20), crop(View.whole("a", CLOCK), 20, 40)])
    assert verdicts(view, clip((), cut(20))) == ("seen",)
    assert verdicts(reverse(view), clip((), cut(20))) == ("seen",)
    assert verdicts(view, clip((), cut(19), cut(21), event("collide", 20))) == ("alike",)


def test_a_seam_that_is_not_measured_is_told():
    assert looped(clip()) == "unmeasured"
    both = concat([View.whole("a", CLOCK), View.whole("b", CLOCK)])
    assert verdicts(both, clip(measured()), clip(name="b")) == ("unmeasured",)
    assert [is_told(v) for v in ("seen", "unmeasured", "unsure", "alike")] == [True, True, False, False]


@pytest.mark.parametrize("field", LIMITS)
@pytest.mark.parametrize("sign", [1, -1])
def test_levels_apart_are_seen(field, sign):
    limit = LIMITS[field]
    far, near = (measured(**{field: step(20, sign * by)}, local=1.0) for by in (limit * 1.01, limit * 0.99))
    assert (looped(clip(far)), looped(clip(near))) == ("seen", "unsure")


def test_between_samples_the_picture_may_be_nearer():
    """The last frame lies behind the last sample: as far as from sample to sample it may have come."""
    rises = measured(luma=lambda k: 0.5 + 0.004 * k, local=1.0)
    assert looped(clip(rises), 0, 7) == looped(clip(rises), 0, 9) == "seen"
    # Frames 0 and 4: 0.012 between samples 0 and 3, and as much may lie between 3 and 4.
    assert (looped(clip(rises), 0, 4), looped(clip(rises), 0, 5)) == ("seen", "unsure")


def test_a_frame_is_measured_by_its_own_shot():
    """Behind a cut the sample before it tells nothing."""
    signals = measured(luma=step(20, 0.3), local=1.0)
    # Frame 20 is dark as 21, the next sample, is; frame 19 as 18.
    assert looped(clip(signals, cut(20), cuts=[20]), 20, 40) == "unsure"
    assert looped(clip(signals, cut(20), cuts=[20]), 0, 20) == "unsure"
    assert looped(clip(signals, cut(20), cuts=[20]), 19, 21) == "seen"
    assert looped(clip(signals, cut(20), cuts=[20]), 19, 40) == "seen"


def test_a_shot_without_enough_samples_tells_nothing():
    signals = measured(luma=step(22, 0.3), local=1.0)
    short = clip(signals, cut(22), cut(23), cuts=[22, 23])
    assert looped(short, 0, 23) == "unsure"
    one = clip(signals, cut(22), cut(25), cuts=[22, 25])
    assert looped(one, 0, 24) == "unsure"
    assert looped(one, 0, 25) == "seen"


@pytest.mark.parametrize(("local", "verdict"), [(0.0, "alike"), (STILL / 13.5, "alike"), (STILL / 12.5, "unsure")])
def test_what_rests_looks_alike(local, verdict):
    """13 samples behind the first add up."""
    assert looped(clip(measured(local=local))) == verdict


def test_only_what_lies_between_counts():
    moving = [
        row.model_copy(update={"local_motion": tuple(0.5 * (t < CLOCK.time_of(12)) for t in row.t_ns)})
        for row in measured(parts=[5])
    ]
    assert (looped(clip(moving), 0, 40), looped(clip(moving), 9, 40)) == ("unsure", "alike")
    # Frame 8 lies in the step up to 9, which changes.
    assert looped(clip(moving), 8, 40) == "unsure"


def test_without_the_change_of_cells_nothing_is_known_to_rest():
    bare = [row.model_copy(update={"local_motion": ()}) for row in measured()]
    assert looped(clip(bare)) == "unsure"


@pytest.mark.parametrize("told", [event("change_colour", 20), event("move", 5, end=30), cut(20)])
def test_what_is_told_to_change_does_not_rest(told):
    assert looped(clip(measured(), told)) == "unsure"
    assert looped(clip(measured(), told), 31, 40) == "alike"


@pytest.mark.parametrize("told", [event("caption", 5, end=30), event("still", 5, end=30, label_set=PICTURE_SET)])
def test_words_and_stillness_do_not_change_the_picture(told):
    assert looped(clip(measured(), told)) == "alike"


def test_a_rest_that_is_not_measured_to_its_end_is_unsure():
    assert looped(clip(measured(range(0, 37, 3)))) == "alike"
    assert looped(clip(measured(range(0, 34, 3)))) == "unsure"
    assert looped(clip(measured([0]))) == "unsure"


def test_other_videos_never_rest_for_certain():
    both = concat([View.whole("a", CLOCK), View.whole("b", CLOCK)])
    assert verdicts(both, clip(measured()), clip(measured(name="b"), name="b")) == ("unsure",)
    light = measured(luma=lambda k: 0.9, name="b")
    assert verdicts(loop(both, 2), clip(measured()), clip(light, name="b")) == ("seen",) * 3


def test_the_frames_that_are_shown_are_judged():
    """Of a piece whose last frames are lost, the last one that is shown."""
    rises = measured(luma=step(30, 0.3), local=1.0)
    view = loop(View.whole("a", CLOCK), 2)
    kept = np.array([k for k in range(80) if not 20 <= k < 40], np.int64)
    assert verdicts(view, clip(rises)) == ("seen",)
    assert verdicts(skip(view, kept), clip(rises)) == ("unsure",)


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_how_samples_are_parted_does_not_matter(data):
    values = data.draw(st.lists(st.floats(0.48, 0.52), min_size=14, max_size=14))
    curves = {"luma": lambda k: values[k // EVERY], "local": data.draw(st.sampled_from([0.0, 0.0015, 0.2]))}
    parts = sorted(data.draw(st.sets(st.integers(1, 13), max_size=13)))
    first = data.draw(st.integers(0, 39))
    stop = data.draw(st.integers(first + 1, 40))
    cuts = sorted(data.draw(st.sets(st.integers(1, 39), max_size=3)))
    events = [cut(k) for k in cuts]
    whole = clip(measured(**curves), *events, cuts=cuts)
    parted = clip(measured(parts=parts, **curves), *events, cuts=cuts)
    assert looped(whole, first, stop) == looped(parted, first, stop)


def test_rows_of_one_sample_each_say_what_one_row_of_all_says():
    values = [0.5] * 8 + [0.484375] * 3 + [0.5] * 3
    curves = {"luma": lambda k: values[k // EVERY], "local": 0.0}
    assert looped(clip(measured(**curves)), 0, 29) == looped(clip(measured(parts=list(range(1, 12)), **curves)), 0, 29)


def film_of(rng):
    """Grey pictures 128 x 128 that rest, move a little, or change altogether."""
    picture, found = rng.integers(0, 255, (128, 128), np.uint8), []
    for _ in range(16):
        kind = rng.choice(["rest", "rest", "spot", "shift", "light", "other"])
        if kind == "spot":
            x, y = rng.integers(0, 120, 2)
            picture = picture.copy()
            picture[y : y + 8, x : x + 8] = rng.integers(0, 255)
        elif kind == "shift":
            picture = np.roll(picture, rng.integers(1, 5), axis=1)
        elif kind == "light":
            picture = np.clip(picture.astype(np.int16) + rng.integers(-9, 9), 0, 255).astype(np.uint8)
        elif kind == "other":
            picture = rng.integers(0, rng.integers(100, 255), (128, 128), np.uint8)
        found.append(picture)
    return found


@settings(max_examples=examples(50), deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_pictures_that_are_measured_are_never_told_wrongly(seed, data):
    """The two inequalities, on pictures: where the meter measures each, no slack is needed and none is given."""
    film = film_of(np.random.default_rng(seed))
    clock = clock_from([125] * (len(film) - 1), last_ms=125)
    meter = SignalMeter(SignalsConfig())
    colour = [np.repeat(picture[:, :, None], 3, axis=2) for picture in film]
    samples = [meter.feed(t, picture) for t, picture in zip(clock.t_ns.tolist(), colour, strict=True)]
    signals = [stretch("a", 0, samples)]
    first = data.draw(st.integers(0, len(film) - 3))
    stop = data.draw(st.integers(first + 3, len(film)))
    (verdict,) = verdicts(loop(crop(View.whole("a", clock), first, stop), 2), clip(signals, clock=clock))
    apart = np.abs(film[first].astype(float) - film[stop - 1]) / 255
    if verdict == "alike":
        assert apart.reshape(16, 8, 16, 8).mean((1, 3)).max() <= STILL + 1e-6
    if verdict == "seen":
        light = abs(film[first].mean() - film[stop - 1].mean()) / 255
        spread = abs(film[first].std() - film[stop - 1].std()) / 255
        detail = abs(samples[first].complexity - samples[stop - 1].complexity)
        assert light >= LIGHT - 1e-6 or spread >= LIGHT - 1e-6 or detail >= DETAIL - 1e-6
        # A Laplacian weighs its neighbourhood by 8 in all, and detail is counted in 64 levels of 255.
        assert np.sqrt((apart**2).mean()) >= min(LIGHT, DETAIL * 64 / 255 / 8) - 1e-6
    if not apart.any():
        assert verdict != "seen"


@settings(max_examples=examples(60), deadline=None)
@given(views(), st.data())
def test_backwards_the_same_seams_are_seen(view, data):
    """Of any view, however its sources are measured: as many verdicts as seams, the other way round backwards."""
    clips = []
    for source, clock in {piece.source: piece.clock for piece in view.pieces}.items():
        frames = [0, *sorted(data.draw(st.sets(st.integers(1, max(1, len(clock) - 1)), max_size=6)))]
        levels = data.draw(st.lists(st.sampled_from([0.5, 0.504, 0.52]), min_size=7, max_size=7))
        rows = measured(
            [k for k in frames if k < len(clock)], name=source, clock=clock, luma=lambda k, x=levels: x[k % 7]
        )
        clips.append(clip(rows if data.draw(st.booleans()) else (), name=source, clock=clock))
    found = verdicts(view, *clips)
    assert len(found) == len(view.pieces) - 1
    assert verdicts(reverse(view), *clips) == found[::-1]
