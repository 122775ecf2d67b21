"""Leaks planted into a good folder, one kind at a time: each is found by its name, and the good folder raises none."""

import json
import random
import shutil

import pytest

from datasets_build.checks.benchmarks import BenchmarkFile
from datasets_build.checks.check import run_checks
from datasets_build.core.files import read_json
from datasets_build.core.records import Dialogue, StreamingQA, Video
from tests.checks.leaky import (
    BUILDS,
    CONFIG,
    QA,
    TALK,
    answer_at,
    answers,
    change_all,
    choice,
    dialogues,
    freed,
    good_folder,
    one,
    one_question,
    one_turn,
    pictures_of,
    questions,
    recoded,
    said,
    words,
)
from tests.checks.planted import is_answer

MS, SECOND = 1_000_000, 1_000_000_000
SPECIAL = "Which of the seven paper lanterns did Ambrose the juggler drop beside the mossy fountain?"
OVO = "What did I put in the cupboard above the blender before frying eggs?"
STREAMING = "Which player in the striped jersey has just scored from the corner?"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_folder(tmp_path_factory.mktemp("good") / "out")


@pytest.fixture
def out(good, tmp_path):
    shutil.copytree(good, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def benchmarks(tmp_path):
    """Annotation files of the two benchmarks, each in its own form."""
    ovo = [
        {"id": 0, "task": "EPM", "video": "Ego4D/clips/clip-7790.mp4", "question": OVO, "options": ["a", "b"], "gt": 0},
        {"id": 1, "task": "REC", "video": "perception_test/video_3161.mp4", "activity": "waving"},
    ]
    streaming = [
        {"video_path": "./videos/sample_17_real.mp4", "questions": [{"question": STREAMING, "answer": "A"}]},
        [{"video_path": "./videos/sample_9_sqa.mp4", "questions": [{"question": "Who is it?", "answer": "B"}]}],
    ]
    for name, content in (("ovo.json", ovo), ("streaming.json", streaming)):
        (tmp_path / name).write_text(json.dumps(content))
    return (
        BenchmarkFile(format="ovo_bench", file=str(tmp_path / "ovo.json")),
        BenchmarkFile(format="streaming_bench", file=str(tmp_path / "streaming.json")),
    )


def broken(out, config=CONFIG, **more):
    return {law.name for law in run_checks(out, config, **more).laws if law.broken}


def with_benchmarks(benchmarks, **more):
    changed = CONFIG.contamination.model_copy(update={"benchmarks": benchmarks, **more})
    return CONFIG.model_copy(update={"contamination": changed})


def test_the_untouched_folder_raises_nothing(good, benchmarks):
    result = run_checks(good, with_benchmarks(benchmarks), rebuild=BUILDS)
    assert result.broken == 0, result.violations[:3]
    assert result.warnings == ()
    assert {f.verdict for f in result.figures} <= {"held", "too_few"}
    checked = {law.name for law in result.laws}
    assert {name for name, _ in LEAKS.values()} - checked <= {"blind_longest", "blind_shortest", "balance_option"}


def verdicts(yes):
    """All yes/no answers of `happened_yet` from a function of the record that says whether it is yes."""

    def change(row, _):
        return said(freed(row), "Yes." if yes(row) else "No.") if row.task == "happened_yet" else row

    return questions(change)


def reworded(row, _):
    """Each question of yes and no is worded by its answer."""
    if row.task != "happened_yet":
        return row
    yes = row.answers[0].text.startswith("Yes")
    return freed(row).model_copy(update={"question": f"{'Surely' if yes else 'Perhaps'}: {row.question}"})


def lone(row, _):
    """No question of a pair of twins is left but the unanswerable one."""
    return None if row.twin_id is not None and not row.unanswerable else row


def muted(row, _):
    return row.model_copy(update={"turns": tuple(turn for turn in row.turns if turn.role == "user")})


def silenced(row, _):
    tracks = []
    for track in row.decisions:
        runs = tuple(run.model_copy(update={"state": "silence"}) for run in track.runs)
        tracks.append(track.model_copy(update={"runs": runs}))
    return row.model_copy(update={"decisions": tuple(tracks)})


def early_bird(row, _):
    """The first turn of the assistant comes at once."""
    k = next((k for k, turn in enumerate(row.turns) if turn.role == "assistant"), None)
    first = row.turns[k].model_copy(update={"start_ns": row.start_ns})
    return row.model_copy(update={"turns": (*row.turns[:k], first, *row.turns[k + 1 :])})


def foretold(row, _):
    """A user says at the very start what all the answers will be."""
    told = " ".join(turn.intended_text or turn.text for turn in row.turns if is_answer(turn))
    user = next(turn for turn in row.turns if turn.role == "user")
    first = user.model_copy(update={"id": "first", "text": told, "start_ns": 0, "end_ns": 0})
    return row.model_copy(update={"turns": (first, *row.turns)})


def asked_as(text):
    return one(f"{QA}/train.parquet", StreamingQA, lambda row: True, question=text)


def in_both(plant_train, plant_test):
    def plant(out):
        plant_train(out)
        plant_test(out)

    return plant


def in_test(text):
    return one(f"{QA}/test.parquet", StreamingQA, lambda row: True, question=text)


def a_copy(out):
    """The file of a train video is that of a test video."""
    rows = {}
    one("index/videos.parquet", Video, lambda row: row.split == "test" and rows.setdefault("sha", row.sha256))(out)
    one("index/videos.parquet", Video, lambda row: row.split == "train", sha256=rows["sha"])(out)


def is_open(row):
    return row.task == "before" and not row.unanswerable and not row.options


def is_shown(turn):
    return is_answer(turn) and len(turn.text.split()) > 3 and not turn.text.startswith(("Yes", "No"))


def in_question(out):
    """A user's question holds the reply to it."""

    def change(row, _):
        made = list(row.turns)
        for turn in filter(is_shown, row.turns):
            k = next((k for k, each in enumerate(made) if each.id == turn.trigger_ref), None)
            if k is not None:
                made[k] = made[k].model_copy(update={"text": f"{made[k].text} {turn.intended_text or turn.text}"})
        return row.model_copy(update={"turns": tuple(made)})

    change_all(out, TALK, Dialogue, change)


def told_in_system(row, _):
    gold = [turn.intended_text or turn.text for turn in row.turns if is_shown(turn)]
    return row.model_copy(update={"system": f"{row.system} {gold[0]}" if gold else row.system})


LEAKS = {
    # Words that tell the clock.
    "digits of a clock": ("question_without_clock", asked_as("What happened at 0:12?")),
    "seconds in words": ("question_without_clock", asked_as("What happens after ten seconds?")),
    "seconds in Chinese": (
        "question_without_clock",
        one_question(lambda row: True, answers=answers("第3秒的时候红球停了")),
    ),
    "a frame's number in a turn": ("turn_without_clock", one_turn(lambda t: t.role == "user", text="See frame 300?")),
    "a time in the instructions": (
        "instructions_without_answers",
        one(f"{TALK}/train.parquet", Dialogue, lambda row: True, system="Watch. The goal falls at 3:07."),
    ),
    # Words that hold the answer.
    "the answer in its question": (
        "gold_not_in_question",
        one_question(is_open, question=lambda row: f"{row.question} {row.answers[0].text}"),
    ),
    "the answer in its question, in other marks": (
        "gold_not_in_question",
        one_question(is_open, question=lambda row: row.answers[0].text.upper().replace(".", " !")),
    ),
    "the right option in its question": (
        "gold_not_in_question",
        one_question(
            is_open,
            question="Is it the blue kite that came before?",
            options=("a red ball", "the blue kite", "a green hat"),
            correct_option=1,
        ),
    ),
    "the reply in a user's question": ("turn_gold_not_in_question", in_question),
    "an answer in the instructions": ("instructions_without_answers", dialogues(told_in_system)),
    "answers foretold by a user": ("answer_in_earlier_turn", dialogues(foretold)),
    # Words of the future.
    "an answer of what will be": (
        "answer_without_future",
        one_question(is_open, answers=answers("The red circle is about to leave.")),
    ),
    "an answer of what will be, in Chinese": (
        "answer_without_future",
        one_question(is_open, answers=answers("红球即将离开画面")),
    ),
    "a reply of what will be": (
        "turn_without_future",
        one_turn(is_answer, text="It stops, and later on it will leave.", intended_text=None),
    ),
    # What a blind guesses.
    "always yes": ("blind_majority", verdicts(lambda row: True)),
    "nearly always no": ("blind_majority", verdicts(lambda row: random.Random(row.id).random() < 0.04)),
    "yes late, no early": ("blind_clock", verdicts(lambda row: row.ask_ns > 15 * SECOND)),
    "yes at even fifths": ("blind_clock", verdicts(lambda row: row.ask_ns // (6 * SECOND) % 2 == 0)),
    "the wording tells yes from no": ("blind_ngram", questions(reworded)),
    "unanswerable twins alone": ("blind_majority", questions(lone)),
    "the count is always two": (
        "blind_majority",
        questions(lambda row, _: said(row, "2 so far.") if row.mode == "counting" else row),
    ),
    "the answer is the same": (
        "blind_majority",
        questions(lambda row, _: said(row, "A dog barks.") if row.task == "next" else row),
    ),
    "always six seconds later": (
        "blind_delay",
        questions(lambda row, _: answer_at(row, 6 * SECOND, 300 * MS) if row.mode == "proactive" else row),
    ),
    "the longest option is right": (
        "blind_longest",
        choice(lambda r, g: words(g, 9, 12), lambda r, g, k: words(g, 2, 5), lambda r, g: g.randrange(4)),
    ),
    "the shortest option is right": (
        "blind_shortest",
        choice(lambda r, g: words(g, 1, 1), lambda r, g, k: words(g, 3, 6), lambda r, g: g.randrange(4)),
    ),
    "the first option is right": (
        "blind_majority",
        choice(lambda r, g: words(g), lambda r, g, k: words(g), lambda r, g: 0),
    ),
    "right options end alike": (
        "blind_ngram",
        choice(lambda r, g: f"{words(g)} indeed", lambda r, g, k: f"{words(g)} zzzzzz", lambda r, g: g.randrange(4)),
    ),
    "right options stand by the clock": (
        "blind_clock",
        choice(lambda r, g: words(g), lambda r, g, k: words(g), lambda r, g: r.ask_ns // (3 * SECOND) % 2 * 3),
    ),
    # Balance.
    "right options in one place": (
        "balance_option",
        choice(lambda r, g: words(g), lambda r, g, k: words(g), lambda r, g: 2),
    ),
    "nobody ever replies": ("balance_silent_dialogues", dialogues(muted)),
    "nothing but silence": ("balance_silence", dialogues(silenced)),
    "everybody is answered at once": ("balance_first_reply", dialogues(early_bird)),
    "all is asked at the start": (
        "balance_asked",
        questions(lambda row, k: row.model_copy(update={"ask_ns": k * MS})),
    ),
    "most questions are in vain": (
        "balance_unanswerable",
        questions(lambda row, k: row.model_copy(update={"unanswerable": k % 5 > 0})),
    ),
    # Train and test.
    "one file in two splits": ("split_by_source", a_copy),
    "the pictures of a test video": ("split_by_pictures", lambda out: pictures_of(out, 5, 0)),
    "the pictures of a validation video, recoded": ("split_by_pictures", lambda out: pictures_of(out, 3, 1, recoded)),
    "a special question in train and test": ("split_by_questions", in_both(asked_as(SPECIAL), in_test(SPECIAL))),
    "a special question, hardly changed": (
        "split_by_questions",
        in_both(one_turn(lambda t: t.role == "user", text=SPECIAL.upper() + " Tell me"), in_test(SPECIAL)),
    ),
    # What the other laws hold, seen from here.
    "an answer before it could be known": (
        "answer_after_evidence",
        one_question(
            lambda row: row.mode == "forward",
            answers=lambda row: (row.answers[0].model_copy(update={"t_ns": row.ask_ns}), *row.answers[1:]),
        ),
    ),
    "a time off the grid": (
        "time_on_grid",
        one_question(lambda row: row.ask_ns > 0, ask_ns=lambda row: row.ask_ns + 1),
    ),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_planted_leak_is_found_under_its_name(out, kind):
    name, plant = LEAKS[kind]
    plant(out)
    assert name in broken(out)


def named(out, name):
    one("index/videos.parquet", Video, lambda row: row.split == "train", uri=name)(out)


FOREIGN = {
    "a video of OVO-Bench": ("benchmark_videos", lambda out: named(out, "mine/Video_3161.MP4")),
    "a video of StreamingBench": ("benchmark_videos", lambda out: named(out, "sample_17_real.mkv")),
    "a question of OVO-Bench": ("benchmark_questions", asked_as(f"Tell me: {OVO.lower()}")),
    "a question of StreamingBench in a dialogue": (
        "benchmark_questions",
        one_turn(lambda t: t.role == "user", text=STREAMING.replace("?", " , please?")),
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_planted_benchmark_is_found_under_its_name(out, benchmarks, kind):
    name, plant = FOREIGN[kind]
    plant(out)
    assert name in broken(out, with_benchmarks(benchmarks))
    assert name not in broken(out)


def test_a_benchmark_in_the_test_split_is_where_it_belongs(out, benchmarks):
    in_test(OVO)(out)
    one("index/videos.parquet", Video, lambda row: row.split == "test", uri="video_3161.mp4")(out)
    assert not broken(out, with_benchmarks(benchmarks)) & {"benchmark_videos", "benchmark_questions"}


def test_the_pictures_of_a_benchmark_are_found(good, out, tmp_path):
    other = good_folder(tmp_path / "benchmark", videos=3)
    config = with_benchmarks((), folders=(str(other),))
    assert "benchmark_pictures" in broken(good, config)
    for k in range(12):
        pictures_of(out, k, k, lambda jpeg: jpeg[:100])
    assert "benchmark_pictures" not in broken(out, config)


def test_a_row_taken_out_is_found_by_building_anew(out):
    file = f"{TALK}/train.parquet"
    one(file, Dialogue, lambda row: len(row.turns) > 4, turns=lambda row: row.turns[:-1])(out)
    one(
        file,
        Dialogue,
        lambda row: True,
        decisions=lambda row: tuple(track.model_copy(update={"runs": track.runs[:1]}) for track in row.decisions[:1]),
    )(out)
    result = run_checks(out, CONFIG, rebuild=BUILDS)
    files = {violation.file for violation in result.violations if violation.law == "rebuilds_alike"}
    assert file in files
    assert not (out / ".work").exists()


def test_other_settings_are_found_by_building_anew(out):
    path = out / "events" / "manifest.json"
    content = read_json(path)
    content["fields"]["config.signals"] = "False"
    path.write_text(json.dumps(content))
    result = run_checks(out, CONFIG, rebuild=BUILDS)
    (found,) = {v.found for v in result.violations if v.law == "rebuilds_alike" and v.file == "events/manifest.json"}
    assert found == "made with another config.signals"


def test_forty_kinds_are_planted():
    assert len(LEAKS) + len(FOREIGN) + 3 >= 45


def test_the_same_faults_give_the_same_bytes(out):
    verdicts(lambda row: True)(out)
    run_checks(out, CONFIG)
    first = (out / "check.json").read_bytes()
    run_checks(out, CONFIG)
    assert (out / "check.json").read_bytes() == first
    figures = json.loads(first)["figures"]
    (told,) = [f for f in figures if f["name"] == "blind_majority" and f["of"] == "streaming_qa/happened_yet/yes_no"]
    assert told["verdict"] == "broken"
    assert told["share"] == 1.0
    assert told["low"] > told["limit"]


def test_what_is_known_is_a_warning_with_its_figure(out):
    verdicts(lambda row: True)(out)
    blind = CONFIG.blind.model_copy(update={"warn": ("majority */happened_yet/yes_no",)})
    result = run_checks(out, CONFIG.model_copy(update={"blind": blind}))
    assert "blind_majority" not in {law.name for law in result.laws if law.broken}
    (warning,) = result.warnings
    assert warning.law == "blind_majority"
    assert "1.000" in warning.found
