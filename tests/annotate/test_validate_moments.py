"""Each fault planted twice: in what is about to be sent, and in what somebody's browser or program left on the server.

Before a push it is refused, by the item's key, and nothing is sent. After a pull it is a flag, and the work does not
count.
"""

import copy
from dataclasses import replace

import pytest

from annotate import desk
from annotate.desk import posting_of, reading_of
from annotate.errors import AnnotateError
from annotate.people import People
from annotate.pull import pull
from annotate.screens import screen
from annotate.standing import finished
from annotate.tasks import QuestionVerdict, TurnVerdict
from annotate.validate import validate
from tests.annotate.desks import Desk, sent
from tests.annotate.planned import S, planned
from tests.annotate.pulled import project_of, rows
from tests.annotate.screens.answers import region

NAN, INF = float("nan"), float("inf")
# A frame from 0, before the first, behind the last, in parts, none at all, no number.
NO_FRAMES = (0, -1, 10**6, 1.5, 2.0, NAN, INF, True, "3", None)


@pytest.fixture(scope="module")
def made(clips, tmp_path_factory):
    """A round of each kind; to read only."""
    root = tmp_path_factory.mktemp("made")
    return {kind: planned(root / kind, clips, kind, least_ns=S, most_ns=4 * S) for kind in screen.SCREENS}


def first(round_):
    """The first item in which there is something to change."""
    return next(item for item in round_.items if len(item.sheet.ids) > 1 and item.window.frames > 2)


def outgoing(item):
    """What is sent for an item, to spoil."""
    return copy.deepcopy(list(screen.encode(item).result))


def incoming(item):
    """What somebody hands in: for each question or turn another text under `fix`."""
    result = outgoing(item)
    about = {"qa": "question", "dialogue": "turn"}.get(item.sheet.kind)
    if about:
        for place in range(len(item.sheet.ids)):
            value = {"choices": ["fix"]}
            result.append(region(f"v{place}", f"verdict_{place}", f"{about}_{place}", "choices", value))
            of(result, f"{'answer' if about == 'question' else 'text'}_{place}")["value"] = {"text": [f"other {place}"]}
    return result


def of(result, name):
    return next(each for each in result if each["from_name"] == name)


def setting(name, **fields):
    """Spoils fields of the region of a name."""

    def plant(result, item):
        of(result, name).update(fields)

    return plant


def adding(id_, name, to_name, type_, value):
    def plant(result, item):
        result.append(region(id_, name, to_name, type_, value))

    return plant


def ranged(**ends):
    def plant(result, item):
        of(result, "events")["value"]["ranges"] = [{"start": 1, "end": 2, **ends}]

    return plant


def same_id(result, item):
    result[1]["id"] = result[0]["id"]
    result[1]["from_name"] = result[0]["from_name"]
    result[1]["type"], result[1]["to_name"] = result[0]["type"], result[0]["to_name"]


def again(name):
    def plant(result, item):
        result.append({**of(result, name), "id": "again"})

    return plant


def answered_before_asked(result, item):
    of(result, "ask_frame_0")["value"] = {"number": 2}
    of(result, "answer_frame_0")["value"] = {"number": 1}


def behind_the_last(result, item):
    of(result, "events")["value"]["ranges"] = [{"start": 1, "end": item.window.frames + 1}]


def note(**value):
    """A note on the first event, in place of what it has."""

    def plant(result, item):
        bar = of(result, "events")
        result[:] = [each for each in result if (each["id"], each["from_name"]) != (bar["id"], "note")]
        result.append(region(bar["id"], "note", "video", "textarea", value))

    return plant


def sure(*choices):
    def plant(result, item):
        result.append(region(of(result, "events")["id"], "confidence", "video", "choices", {"choices": list(choices)}))

    return plant


EVERYWHERE = {
    "no region": ("shape", lambda result, item: result.append("region")),
    "no id": ("shape", lambda result, item: result[0].pop("id")),
    "half a character as id": ("shape", lambda result, item: result[0].update(id="a\ud800")),
    "no value": ("shape", lambda result, item: result[0].pop("value")),
    "a name of no control": ("foreign", lambda result, item: result[0].update(from_name="box")),
    "no name": ("foreign", lambda result, item: result[0].pop("from_name")),
    "another type": ("type", lambda result, item: result[0].update(type="videorectangle")),
    "about another": ("type", lambda result, item: result[0].update(to_name="audio")),
    "one id twice": ("duplicate", same_id),
    "a clip that is neither": ("choice", adding("c", "clip", "video", "choices", {"choices": ["broken"]})),
}
FAULTS = {
    "events": {
        **EVERYWHERE,
        "a label that the configuration does not have": (
            "label",
            lambda result, item: of(result, "events")["value"].update(timelinelabels=["no such label"]),
        ),
        "no label": ("label", lambda result, item: of(result, "events")["value"].pop("timelinelabels")),
        "two labels": ("label", lambda result, item: of(result, "events")["value"].update(timelinelabels=["a", "b"])),
        "no frames": ("frames", lambda result, item: of(result, "events")["value"].pop("ranges")),
        "an end before its start": ("order", ranged(start=2, end=1)),
        "an end behind the last frame": ("frames", behind_the_last),
        "a note without text": ("text", note(text=[" "])),
        "a note of half a character": ("text", note(text=["half \udfff"])),
        "a note of two": ("text", note(text=["one", "two"])),
        "a note of no event": ("foreign", adding("lost", "note", "video", "textarea", {"text": ["x"]})),
        "another confidence": ("choice", sure("certain")),
        "two confidences": ("choice", sure("sure", "unsure")),
        **{f"starts at frame {bad!r}": ("frames", ranged(start=bad)) for bad in NO_FRAMES},
        **{f"ends at frame {bad!r}": ("frames", ranged(end=bad)) for bad in NO_FRAMES},
    },
    "qa": {
        **EVERYWHERE,
        "a question that is not asked": (
            "foreign",
            adding("x", "ask_frame_99", "question_99", "number", {"number": 1}),
        ),
        "two answers": ("text", setting("answer_0", value={"text": ["one", "two"]})),
        "an answer without text": ("text", setting("answer_0", value={"text": [""]})),
        "an answer of half a character": ("text", setting("answer_0", value={"text": ["\ud83d"]})),
        "an answer given twice": ("duplicate", again("answer_0")),
        "an answer before its question": ("order", answered_before_asked),
        "six stars": ("number", adding("r", "quality_0", "question_0", "rating", {"rating": 6})),
        "half a star": ("number", adding("r", "quality_0", "question_0", "rating", {"rating": 0.5})),
        **{f"asked at {bad!r}": ("number", setting("ask_frame_0", value={"number": bad})) for bad in NO_FRAMES},
        **{f"answered at {bad!r}": ("number", setting("answer_frame_0", value={"number": bad})) for bad in NO_FRAMES},
    },
    "dialogue": {
        **EVERYWHERE,
        "a turn that is not shown": ("foreign", adding("x", "text_99", "turn_99", "textarea", {"text": ["x"]})),
        "a text without text": ("text", setting("text_0", value={"text": [" "]})),
        "a text of half a character": ("text", setting("text_0", value={"text": ["\ud83d"]})),
        "a text that is none": ("text", setting("text_0", value={"text": [3]})),
        "another complaint": ("choice", adding("w", "timing_0", "turn_0", "choices", {"choices": ["too loud"]})),
        "two complaints": (
            "choice",
            adding("w", "timing_0", "turn_0", "choices", {"choices": ["too early", "too late"]}),
        ),
    },
}
# What only a finished result must have or can have.
LATE = {
    "no verdict": ("missing", lambda result, item: result.remove(of(result, "verdict_0"))),
    "another verdict": ("choice", setting("verdict_0", value={"choices": ["perhaps"]})),
    "two verdicts in one": ("choice", setting("verdict_0", value={"choices": ["fix", "reject"]})),
    "a verdict given twice": ("duplicate", again("verdict_0")),
}


@pytest.fixture
def round_of(made, clips, tmp_path):
    """The round of a kind with a folder of the test's own."""

    def own(kind):
        folder = tmp_path / "rounds" / "r1"
        folder.mkdir(parents=True)
        return replace(made[kind], folder=folder, manifest=made[kind].manifest.model_copy(update={"data": str(clips)}))

    return own


def handed_in(round_, tmp_path, results):
    """What becomes of results on the first item, each somebody else's: their flags, and the work that counts."""
    board, reading = Desk(), reading_of(round_)
    sent(round_, board, tmp_path)
    for user, result in enumerate(results, start=1):
        board.pass_time(60)
        board.annotate(board.of_key(first(round_).key)[0], user, result)
    people = People(tmp_path / "people.json")
    pull(round_, board, project=project_of(round_, board), reading=reading, people=people)
    found = sorted(rows(round_), key=lambda row: row.annotation)
    return [[(flag.code, flag.detail) for flag in row.flags] for row in found], finished(round_, reading)


@pytest.mark.parametrize("kind", FAULTS)
def test_without_a_fault_it_is_sent_and_counts(round_of, tmp_path, kind):
    round_ = round_of(kind)
    flags, (done,) = handed_in(round_, tmp_path, [incoming(first(round_))])
    assert flags == [[]]
    assert done.key == first(round_).key
    assert done.untouched is (kind == "events")


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, faults in FAULTS.items() for name in faults])
def test_what_has_a_fault_is_not_sent(made, tmp_path, monkeypatch, kind, name):
    code, plant = FAULTS[kind][name]
    round_, encode = made[kind], screen.encode
    item = first(round_)

    def spoilt(item, *, video=None):
        task = encode(item, video=video)
        result = copy.deepcopy(list(task.result))
        plant(result, item)
        return replace(task, result=tuple(result))

    monkeypatch.setattr(desk.screen, "encode", spoilt)
    with pytest.raises(AnnotateError, match=f"^item {item.key}: .*found .*, expected "):
        posting_of(round_, Desk(), tmp_path)(item)
    found = validate(list(spoilt(item).result), item, round_.manifest.labels, is_prediction=True)
    # What is no event any more leaves its note alone.
    assert code in {flaw.code for flaw in found} <= {code, "foreign"}


@pytest.mark.parametrize("kind", FAULTS)
def test_of_a_round_in_which_anything_has_a_fault_nothing_is_sent(round_of, tmp_path, monkeypatch, kind):
    round_, board, encode = round_of(kind), Desk(), screen.encode

    def spoilt(item, *, video=None):
        task = encode(item, video=video)
        is_last = item.key == round_.items[-1].key
        return replace(task, result=(*task.result, "no region")) if is_last else task

    monkeypatch.setattr(desk.screen, "encode", spoilt)
    with pytest.raises(AnnotateError, match=f"item {round_.items[-1].key}: entry .*expected a region: an object"):
        sent(round_, board, tmp_path)
    assert board.sends == 0
    assert not board.tasks


@pytest.mark.parametrize("kind", FAULTS)
def test_what_comes_back_with_a_fault_is_flagged_and_does_not_count(round_of, tmp_path, kind):
    round_ = round_of(kind)
    faults = {**FAULTS[kind], **(LATE if kind != "events" else {})}
    results = [incoming(first(round_)) for _ in faults]
    for result, (_, plant) in zip(results, faults.values(), strict=True):
        plant(result, first(round_))
    flags, done = handed_in(round_, tmp_path, results)
    codes = [{detail.partition(":")[0] for _, detail in each} for each in flags]
    told = {name: code in found for (name, (code, _)), found in zip(faults.items(), codes, strict=True)}
    assert told == dict.fromkeys(faults, True)
    assert {name for each in flags for name, _ in each} == {"invalid"}
    assert not done


@pytest.mark.parametrize("verdict", ["accept", "reject"])
def test_corrections_of_a_question_under_another_verdict_are_left_behind_good_or_bad(round_of, tmp_path, verdict):
    round_ = round_of("qa")
    results = []
    for bad in (2, *NO_FRAMES):
        results.append(result := incoming(first(round_)))
        of(result, "verdict_0")["value"] = {"choices": [verdict]}
        of(result, "ask_frame_0")["value"] = {"number": bad}
    flags, done = handed_in(round_, tmp_path, results)
    assert flags == [[] for _ in results]
    assert len(done) == len(results)
    for one in done:
        assert one.work.questions[0] == QuestionVerdict(id=first(round_).sheet.questions[0].id, verdict=verdict)
        assert one.work.questions[1].answer == "other 1"


@pytest.mark.parametrize("verdict", ["accept", "reject"])
def test_a_text_of_a_turn_under_another_verdict_is_left_behind_good_or_bad(round_of, tmp_path, verdict):
    round_ = round_of("dialogue")
    results = []
    for text in (["another"], [" "], ["half \ud83d"], [3], "x"):
        results.append(result := incoming(first(round_)))
        of(result, "verdict_0")["value"] = {"choices": [verdict]}
        of(result, "text_0")["value"] = {"text": text}
    flags, done = handed_in(round_, tmp_path, results)
    assert flags == [[] for _ in results]
    assert len(done) == len(results)
    for one in done:
        assert one.work.turns[0] == TurnVerdict(id=first(round_).sheet.turns[0].id, verdict=verdict)
        assert one.work.turns[1].text == "other 1"


@pytest.mark.parametrize("kind", FAULTS)
def test_a_result_that_is_no_list_is_flagged(round_of, tmp_path, kind):
    flags, done = handed_in(round_of(kind), tmp_path, [None, "text", {"id": "e"}, 3, True])
    assert [[name for name, _ in each] for each in flags] == [["invalid"]] * 5
    assert not done
