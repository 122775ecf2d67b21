"""Blind baselines on questions made by hand: each finds what it looks for, and nothing where there is nothing."""

import random

import pytest

from datasets_build.checks.blind import Blind, BlindConfig
from datasets_build.core.records import Dialogue, Evidence, Turn
from tests.builders.made import clock_from, video_of
from tests.checks.test_text_leaks import WRITTEN, question

SECOND = 1_000_000_000
CLOCK = clock_from([1000] * 59)
VIDEOS = [video_of(f"v{k}", CLOCK) for k in range(12)]


def figures(make, *, n=20, **config):
    """The figures of `n` questions a video, each `make(k, rng)`, by their names and what they are of."""
    blind = Blind(BlindConfig(**config))
    for video in VIDEOS:
        for k in range(n):
            row = make(k, random.Random(f"{video.id} {k}"))
            blind.question(row.model_copy(update={"id": f"{video.id}-{k}"}), video)
    return {(figure.name, figure.of.removeprefix("streaming_qa/before/")): figure for figure, _ in blind.figures()}


def broken(found):
    return {name for (name, _), figure in found.items() if figure.verdict == "broken"}


def asked(text, answer, at=0, **more):
    return question(text, answer, **more).model_copy(update={"ask_ns": at})


def noise(rng):
    return " ".join(rng.choice(["red", "blue", "ball", "box", "left", "right"]) for _ in range(5))


def options(rng, gold_at, texts):
    return asked(noise(rng), texts[gold_at], rng.randrange(60) * SECOND, options=tuple(texts), correct=gold_at)


def test_fair_questions_break_nothing():
    found = figures(lambda k, rng: asked(noise(rng), rng.choice(["Yes.", "No."]), rng.randrange(60) * SECOND))
    assert broken(found) == set()
    assert {name for name, _ in found} == {"blind_majority", "blind_clock", "blind_ngram", "blind_marks"}
    assert all(abs(figure.share - 0.5) < 0.12 for figure in found.values())


def test_the_majority():
    found = figures(lambda k, rng: asked(noise(rng), "Yes." if k else "No."))
    assert broken(found) == {"blind_majority"}
    figure = found["blind_majority", "yes_no"]
    assert (figure.share, figure.chance, figure.limit, figure.n, figure.groups) == (0.95, 0.5, 0.65, 240, 12)


def test_the_clock():
    found = figures(lambda k, rng: asked(noise(rng), "Yes." if k >= 10 else "No.", 3 * k * SECOND))
    assert broken(found) == {"blind_clock"}
    assert found["blind_clock", "yes_no"].share > 0.9


def test_the_words():
    found = figures(lambda k, rng: asked(f"{noise(rng)} {'has' if k % 2 else 'did'}?", "Yes." if k % 2 else "No."))
    assert broken(found) == {"blind_ngram"}


@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(lambda text: f"{text}??", id="two marks at the end"),
        pytest.param(str.upper, id="capitals"),
        pytest.param(lambda text: f"{text}? ", id="a space behind"),
        pytest.param(lambda text: text.replace(" ", "  ", 1), id="two spaces"),
        pytest.param(lambda text: text.replace(" ", ", ", 1), id="a comma"),
        pytest.param(lambda text: f"({text})", id="brackets"),
        pytest.param(str.capitalize, id="a capital letter at the start"),
    ],
)
def test_how_a_question_is_written(mark):
    def make(k, rng):
        text = noise(rng)
        return asked(mark(text) if k % 2 else text, "Yes." if k % 2 else "No.")

    assert broken(figures(make)) == {"blind_marks"}


def test_the_part_of_a_second_at_which_it_is_asked():
    def make(k, rng):
        return asked(noise(rng), "Yes." if k % 2 else "No.", rng.randrange(60) * SECOND + (k % 2) * SECOND // 2)

    assert broken(figures(make)) == {"blind_clock"}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param(str.upper, str, id="capitals"),
        pytest.param(lambda text: f"{text}.", lambda text: f"{text}!", id="marks"),
    ],
)
def test_how_options_are_written(right, wrong):
    def make(_, rng):
        at = rng.randrange(4)
        return options(rng, at, [(right if k == at else wrong)(noise(rng)) for k in range(4)])

    assert broken(figures(make)) == {"blind_marks"}


def test_an_option_that_is_always_the_second_by_length():
    def make(_, rng):
        at = rng.randrange(4)
        lengths = [5, 9, 14]
        rng.shuffle(lengths)
        return options(
            rng, at, ["".join(rng.choice("abc") for _ in range(n)) for n in (*lengths[:at], 12, *lengths[at:])]
        )

    assert broken(figures(make)) == {"blind_marks"}


def test_fair_options_break_nothing():
    found = figures(lambda k, rng: options(rng, rng.randrange(4), [noise(rng) for _ in range(4)]))
    assert broken(found) == set()
    names = {"blind_majority", "blind_longest", "blind_shortest", "blind_clock", "blind_ngram", "blind_marks"}
    assert {name for name, of in found if of == "options"} == names
    assert found["blind_longest", "options"].chance == 0.25


@pytest.mark.parametrize(
    ("gold", "name"), [("a very much longer text than any other one", "blind_longest"), ("a", "blind_shortest")]
)
def test_the_length_of_options(gold, name):
    def make(_, rng):
        at = rng.randrange(4)
        return options(rng, at, [gold + noise(rng)[:1] if k == at else noise(rng) for k in range(4)])

    assert name in broken(figures(make))


def test_options_of_one_length_are_taken_at_random():
    found = figures(lambda k, rng: options(rng, 0, ["same", "size", "text", "here"]))
    assert found["blind_longest", "options"].share == 0.25
    assert found["blind_majority", "options"].share == 1.0


def test_the_words_of_options():
    def make(_, rng):
        at = rng.randrange(4)
        return options(rng, at, [noise(rng) + (" ok" if k == at else " no") for k in range(4)])

    assert broken(figures(make)) == {"blind_ngram"}


def test_a_fixed_delay():
    def make(k, rng):
        row = asked("Tell me when it falls.", "Now.", k * SECOND, mode="proactive")
        start = row.ask_ns + 6 * SECOND + rng.randrange(SECOND // 2)
        windowed = row.answers[0].model_copy(update={"window_start_ns": start, "window_end_ns": start + SECOND})
        return row.model_copy(update={"answers": (windowed,)})

    found = figures(make)
    assert broken(found) == {"blind_delay"}
    assert found["blind_delay", "when"].share > 0.9


def test_numbers_and_words_are_told_apart():
    found = figures(lambda k, rng: asked("How many?" if k % 2 else "What?", "3 so far." if k % 2 else "A dog barks."))
    assert {of for _, of in found} == {"number", "text"}
    assert broken(found) == {"blind_majority"}
    assert {figure.limit for figure in found.values()} == {0.65}


def test_twins_are_judged_by_whether_they_can_be_answered():
    def make(k, rng):
        row = asked(f"Where is the {noise(rng)}?", "There.")
        if k % 2:
            row = asked("Where is the unicorn?", "I cannot say.")
        return row.model_copy(update={"twin_id": "t", "unanswerable": k % 2 == 1})

    found = figures(make, warn=())
    assert found["blind_ngram", "answerable"].verdict == "broken"
    assert found["blind_majority", "answerable"].verdict == "held"
    # A refusal is no answer in words.
    assert found["blind_majority", "text"].n == 120
    assert figures(make)["blind_ngram", "answerable"].verdict == "broken", "by default too"


def test_too_few_are_not_judged():
    found = figures(lambda k, rng: asked(noise(rng), "Yes."), n=2)
    assert {figure.verdict for figure in found.values()} == {"too_few"}
    assert broken(figures(lambda k, rng: asked(noise(rng), "Yes."), n=2, least_items=20)) == {"blind_majority"}


def test_a_margin_of_ones_own():
    def make(k, rng):
        return asked(noise(rng), "Yes." if k % 10 < 7 else "No.")

    assert broken(figures(make)) == set()
    assert broken(figures(make, margin=0.05)) == {"blind_majority"}


@pytest.mark.parametrize("named", ["majority */before/yes_no", "majority streaming_qa/before/yes_no"])
def test_what_is_known_is_told(named):
    found = figures(lambda k, rng: asked(noise(rng), "Yes."), warn=(named,))
    assert found["blind_majority", "yes_no"].verdict == "warned"
    other = figures(lambda k, rng: asked(noise(rng), "Yes."), warn=("clock */before/yes_no",))
    assert other["blind_majority", "yes_no"].verdict == "broken"


def test_a_sample_is_the_same_in_any_order():
    rows = [(asked(f"Is it {k}?", "Yes." if k % 3 else "No.", k * SECOND), VIDEOS[k % 12]) for k in range(60)]
    made = []
    for order in (rows, rows[::-1]):
        blind = Blind(BlindConfig(sample=25))
        for row, video in order:
            blind.question(row.model_copy(update={"id": row.question}), video)
        made.append([figure for figure, _ in blind.figures()])
    assert made[0] == made[1]
    assert {figure.n for figure in made[0]} == {25}


def exchange(k):
    """A question and its reply, with an aside before it."""
    start = 10 * k
    yield Turn(id=f"u{k}", role="user", start_ns=start, end_ns=start, text="Over?", task="happened_yet")
    proof = (Evidence(start_ns=0, end_ns=1),)
    told = {"start_ns": start + 5, "end_ns": start + 6, "text": "A moment ago: Yes, it is."}
    yield Turn(id=f"a{k}", role="assistant", trigger_ref=f"u{k}", evidence=proof, **told)


def test_replies_of_dialogues_are_judged_too():
    blind = Blind(BlindConfig())
    for video in VIDEOS:
        turns = [turn for k in range(4) for turn in exchange(k)]
        row = Dialogue(
            id=f"d{video.id}", video_id=video.id, start_ns=0, end_ns=100, system="", language="en", decisions=(),
            turns=tuple(turns), provenance=WRITTEN,
        )  # fmt: skip
        blind.dialogue(row, video)
    ((figure, about),) = blind.figures()
    assert (figure.of, figure.verdict, figure.n) == ("dialogue/happened_yet/yes_no", "broken", 48)
    assert about.startswith("one and the same answer")
