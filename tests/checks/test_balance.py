"""Balance on records made by hand: each share that is too large is found, and an even one is not."""

import random

import pytest

from datasets_build.checks.balance import Balance, BalanceConfig
from datasets_build.core.records import DecisionRun, DecisionTrack
from tests.builders.made import clock_from, video_of
from tests.checks.test_text_leaks import question, reply, talk, user

SECOND = 1_000_000_000
CLOCK = clock_from([1000] * 99)
VIDEOS = [video_of(f"v{k}", CLOCK) for k in range(40)]


def figures(ask=None, speak=None, **config):
    """The figures of four questions and a dialogue a video, by name."""
    balance = Balance(BalanceConfig(**config))
    for video in VIDEOS:
        for k in range(4):
            if ask is not None:
                balance.question(ask(k, random.Random(f"{video.id} {k}")), video)
        if speak is not None:
            balance.dialogue(speak(random.Random(video.id)), video)
    return {figure.name: figure for figure, _ in balance.figures()}


def broken(found):
    return {name for name, figure in found.items() if figure.verdict == "broken"}


def asked(rng, *, at=None, correct=None, vain=False):
    t = rng.randrange(100) if at is None else at
    place = rng.randrange(4) if correct is None else correct
    row = question("What?", "a", options=("a", "b", "c", "d"), correct=place)
    return row.model_copy(update={"ask_ns": t * SECOND, "unanswerable": vain})


def spoken(rng, *, first=None, silent=False, states=("silence", "standby", "respond"), early=False):
    start = rng.randrange(10, 90) if first is None else first
    turns = () if silent else (user("What came?", start), reply("a red ball", start, since=start))
    told = (user("A red ball comes." if early else "Hello.", 0, "first"),)
    tracks = []
    for grid in ("native", "1/1"):
        chosen = ("silence",) if grid == "native" else states
        runs = tuple(DecisionRun(state=state, start_ns=k, steps=30) for k, state in enumerate(chosen))
        tracks.append(DecisionTrack(grid=grid, runs=runs))
    return talk(*told, *turns).model_copy(update={"decisions": tuple(tracks)})


def test_an_even_dataset_breaks_nothing():
    found = figures(lambda k, rng: asked(rng, vain=k == 0), spoken)
    assert broken(found) == set()
    assert {figure.verdict for figure in found.values()} == {"held"}
    assert set(found) == {
        "balance_silence", "balance_silent_dialogues", "balance_first_reply", "balance_asked", "balance_unanswerable",
        "balance_option", "answer_in_earlier_turn",
    }  # fmt: skip
    assert found["balance_unanswerable"].share == 0.25
    assert found["balance_silence"].share == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"at": 42}, "balance_asked"),
        ({"correct": 3}, "balance_option"),
        ({"vain": True}, "balance_unanswerable"),
    ],
)
def test_questions_out_of_balance(more, name):
    found = figures(lambda k, rng: asked(rng, **more))
    assert broken(found) == {name}
    assert found[name].share == 1.0


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"first": 12}, "balance_first_reply"),
        ({"silent": True}, "balance_silent_dialogues"),
        ({"states": ("silence",)}, "balance_silence"),
        ({"early": True}, "answer_in_earlier_turn"),
    ],
)
def test_dialogues_out_of_balance(more, name):
    found = figures(speak=lambda rng: spoken(rng, **more))
    assert name in broken(found)
    assert found[name].share == 1.0


def test_silence_is_the_rule_on_the_native_grid():
    found = figures(speak=spoken)
    assert found["balance_silence"].of == "dialogue, grid 1/1"


def test_the_fullest_place_is_named():
    found = figures(lambda k, rng: asked(rng, at=42, correct=2))
    assert found["balance_asked"].of == "streaming_qa, tenth 4"
    assert found["balance_option"].of == "streaming_qa, option 2"
    assert found["balance_option"].limit == pytest.approx(0.4)


def test_limits_are_settings():
    def half(k, rng):
        return asked(rng, vain=k < 2)

    assert broken(figures(half)) == set()
    assert broken(figures(half, unanswerable=0.2)) == {"balance_unanswerable"}


def test_too_few_are_not_judged():
    found = figures(lambda k, rng: asked(rng, vain=True), least_groups=50)
    assert {figure.verdict for figure in found.values()} == {"too_few"}


def test_nothing_gives_no_figures():
    assert figures() == {}
