"""Training that sees other pictures, other times, other words or another layout than a session is told."""

from dataclasses import fields, replace

import pytest

from models.layouts import LAYOUTS
from recipes.verify.bench import Bench
from recipes.verify.kinds import kinds_of
from recipes.verify.streaming import check_streaming
from tests.recipes.verify.benches import everything, meddled, narrowed

CUT = "a decided reply cut short"


class Late:
    """Pictures that come one frame late."""

    def __init__(self, frames, footage):
        self.frames, self.footage = frames, footage

    def pixels(self, grid):
        place = self.footage.times.index(grid.t0_ns)
        t_ns = self.footage.times[max(0, place - 1)]
        return self.frames.pixels(replace(grid, t0_ns=t_ns, t1_ns=t_ns))


class Darker:
    """Pictures of another brightness."""

    def __init__(self, frames):
        self.frames = frames

    def pixels(self, grid):
        return self.frames.pixels(grid) // 2


class CutShown(Bench):
    """Training shows the future, but only to examples in which a decided reply is cut short."""

    def batches(self, rows):
        made = Bench.batches(self, rows)
        cut = any(CUT in kinds_of(self.writer.scripts[example.key]) for row in rows for example in row)
        return [everything(batch) for batch in made] if cut else made


def findings(case, bench=None, *, frames=None, **settings):
    with case.streaming(**settings) as model:
        return check_streaming(bench or case.bench, model, frames or case.prepared.feed.frames)


def told(case, bench=None, **changes):
    (finding,) = findings(case, bench, **changes)
    assert not finding.ok
    assert "a session's scores differ by" in finding.words
    assert "training and serving do not see the same" in finding.words
    assert " said at " in finding.words
    return finding.words


@pytest.fixture
def alone(ready):
    """A bench of one source."""

    def of(source="frame_events", layout="branch"):
        case = ready("stream", layout)
        return case, narrowed(case.bench, case.of(source))

    return of


@pytest.mark.parametrize(
    ("family", "layout"),
    [
        ("qwen2_5_vl", "branch"),
        pytest.param("qwen2_5_vl", "origin", marks=pytest.mark.slow),
        pytest.param("qwen3_vl", "branch", marks=pytest.mark.slow),
    ],
)
def test_a_session_finds_what_training_finds(ready, layout, family):
    case = ready("stream", layout, family)
    found = findings(case)
    assert all(finding.ok for finding in found), found
    words = {finding.words.split(":")[0]: finding.words for finding in found}
    assert set(words) == {"sliding_window", "realtime", "frame_events", "incremental"}
    assert case.of("incremental").cuts
    assert all("a session finds what training finds" in told for told in words.values())
    assert ("each as of its time" in words["realtime"]) == (layout == "origin")


def test_a_stretch_of_a_video_is_streamed_by_its_own_clock(ready):
    """Qwen3-VL writes times as text, in training from the begin of the video on."""
    case = ready("stream", "branch", "qwen3_vl")
    later = [
        example
        for example in case.bench.examples
        if example.source in ("sliding_window", "frame_events") and not example.key.endswith("/0")
    ]
    assert later
    assert all(finding.ok for example in later for finding in findings(case, narrowed(case.bench, example)))


def test_what_comes_behind_a_frame_without_a_partner_is_left_out_where_replies_are_fed_anew(alone):
    for layout in ("branch", "origin"):
        case, bench = alone("realtime", layout)
        (finding,) = findings(case, bench)
        learned, every = len(case.of("realtime").said), finding.words.split()[1:4]
        assert every[2] == str(learned)
        assert (int(every[0]) == learned) == (layout == "branch")


def test_frames_that_are_off_by_one_are_told(alone):
    case, bench = alone("realtime")
    footage = case.prepared.corpus.footage()[case.of("realtime").video_id]
    assert "data.fps" in told(case, bench, frames=Late(case.prepared.feed.frames, footage))


def test_other_pixels_are_told(alone):
    case, bench = alone()
    told(case, bench, frames=Darker(case.prepared.feed.frames))


@pytest.mark.parametrize("part", ["mean", "std"])
def test_another_normalisation_is_told(alone, part):
    case, bench = alone()
    other = replace(bench.how, frames=replace(bench.how.frames, **{part: (0.3, 0.6, 0.4)}))
    assert "normalisation" in told(case, replace(bench, how=other))


def test_another_system_prompt_is_told(alone):
    case, bench = alone()
    assert "system prompt" in told(case, bench, system_prompt="You are silent.")


def test_another_layout_is_told(alone):
    case, bench = alone("realtime")
    assert "layout (branch)" in told(case, bench, layout="interleave")


def test_other_times_are_told(alone):
    case, bench = alone("sliding_window")
    slow = replace(bench.how, clock=replace(bench.how.clock, tokens_per_second=bench.how.clock.tokens_per_second * 3))
    told(case, replace(bench, how=slow))


def test_a_mask_that_shows_the_future_is_told(alone):
    case, bench = alone("realtime")
    told(case, meddled(bench, everything))


def test_positions_of_another_layout_are_told(alone):
    case, bench = alone("realtime")
    layout = replace(LAYOUTS["branch"], positions=replace(LAYOUTS["branch"].positions, beside=False))
    told(case, replace(bench, how=replace(bench.how, layout=layout)))


def test_a_video_with_other_pictures_is_said_to_be_left_out(alone):
    case, bench = alone()
    key = case.of("frame_events").key
    spoiled = replace(bench.writer.scripts[key], shown=((0, 1),))
    (finding,) = findings(case, replace(bench, writer=replace(bench.writer, scripts={key: spoiled})))
    assert finding.ok
    assert "is not streamed: it shows other pictures" in finding.words


def with_a_cut(case):
    """The bench with one more dialogue, of which a decided reply is cut short while more is still to be said."""
    writer = case.bench.writer
    example = case.of("dialogue")
    script = writer.scripts[example.key]
    place = next(k for k, line in enumerate(script.lines[:-1]) if not line.question)
    cut = replace(script.lines[place], state="respond", text="It is a re", learn=True, aside=False, ended=False)
    lines = (*script.lines[:place], cut, *script.lines[place + 1 :])
    spoken = writer.write(replace(script, key=f"{script.key}/cut", lines=lines))
    return replace(case.bench, examples=[*case.bench.examples, spoken]), spoken


def test_a_fault_that_only_a_cut_reply_shows_is_told(ready):
    case = ready("interact")
    bench, spoken = with_a_cut(case)
    bench = CutShown(**{field.name: getattr(bench, field.name) for field in fields(Bench)})
    (before,) = findings(case, narrowed(bench, case.of("dialogue")))
    assert before.ok
    found = findings(case, narrowed(bench, case.of("dialogue"), spoken))
    assert [(spoken.key in finding.words, CUT in finding.words) for finding in found if not finding.ok] == [
        (True, True)
    ]
    assert [finding.words.split(":")[0] for finding in found] == ["dialogue", "dialogue"]


@pytest.mark.parametrize("layout", ["branch", "interleave"])
def test_a_reply_that_is_cut_short_is_streamed_as_it_is_learned(ready, layout):
    case = ready("interact", layout)
    _, spoken = with_a_cut(case)
    (finding,) = findings(case, narrowed(case.bench, spoken))
    assert finding.ok, finding
    assert CUT in finding.words
