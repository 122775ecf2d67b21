"""Examples of every source: what is learned can be seen, nothing is seen before it is shown, and each is complete."""

from dataclasses import replace

import pytest

from models.blocks import derive
from models.tiny import byte_tokenizer
from recipes.data.captions import captions, told_of
from recipes.data.dialogues import dialogues, replies_by_task
from recipes.data.frame_events import QUESTION, answer_of, frame_events, names_in, on_between
from recipes.data.moments import moments
from recipes.data.questions import instants
from recipes.data.realtime import realtime
from recipes.data.rows import pack_row
from recipes.data.traces import preferences
from recipes.data.windows import incremental, sliding_window
from recipes.settings import AlignConfig, InteractConfig, StreamConfig
from tests.recipes.data.lessons import SECOND, desk, how
from tests.recipes.data.seen import faults, views

STREAM = StreamConfig(window_s=8.0, overlap_s=3.0, carry_s=4.0, twins=0.5)


def make(name, material, at, replies=None):
    replies = replies_by_task([material]) if replies is None else replies
    return {
        "captions": lambda: captions(material, AlignConfig(), at),
        "frame_events": lambda: frame_events(material, 8.0, at),
        "moments": lambda: moments(material, 24.0, at),
        "sliding_window": lambda: sliding_window(material, STREAM, at),
        "incremental": lambda: incremental(material, STREAM, at),
        "realtime": lambda: realtime(material, STREAM, at),
        "dialogue": lambda: dialogues(material, InteractConfig(feedback=0.5), at, replies=replies),
        "preference": lambda: preferences(material, InteractConfig(), at, replies=replies),
    }[name]()


SOURCES = ("captions", "frame_events", "moments", "sliding_window", "incremental", "realtime", "dialogue", "preference")


def proofs(material):
    """For what is said about a video: the spans that prove it, by task and words, as the records have them."""
    spans = {}
    for row in material.questions:
        for answer in row.answers:
            known = [part for part in row.evidence if part.role != "distractor" and part.start_ns <= answer.t_ns]
            spans.setdefault((row.task, answer.text, answer.t_ns), [(part.start_ns, part.end_ns) for part in known])
    for row in material.dialogues:
        tasks = {turn.id: turn.task for turn in row.turns}
        for turn in row.turns:
            proof = [(part.start_ns, part.end_ns) for part in turn.evidence if part.role != "distractor"]
            known = turn.start_ns if turn.answerable_from_ns is None else turn.answerable_from_ns
            spans.setdefault((tasks.get(turn.trigger_ref) or "tell_me_when", turn.text, known), proof)
    for told in told_of(material):
        spans.setdefault(("caption", told.text, told.known_ns), [(told.start_ns, told.known_ns)])
    return spans


def evidence_in(material):
    spans = proofs(material)
    return lambda said: spans.get((said.task, said.text, said.evidence_ns))


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_learned_is_seen_and_nothing_comes_too_early(corpus, name):
    proven = 0
    for material in corpus.materials["train"]:
        evidence = evidence_in(material)
        for example in make(name, material, desk()):
            assert faults(example, how(), material.footage, evidence) == []
            proven += sum(evidence(said) is not None for said in example.said)
            assert example.source == name
            assert example.video_id == material.footage.video.id
    assert proven > 0 or name == "frame_events"


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("dialogue", "interleave"),
        ("dialogue", "group"),
        ("sliding_window", "overlap_shared"),
        *(pytest.param("realtime", layout, marks=pytest.mark.slow) for layout in ("interleave", "group", "gap")),
    ],
)
def test_other_layouts_write_examples_that_pack(corpus, name, layout):
    material = corpus.materials["train"][0]
    for example in make(name, material, desk(layout=layout))[:2]:
        row = pack_row([replace(example, cuts=())], how(layout))
        assert len(row.said) == len(example.said)
        for view in views(example, how(layout)):
            assert view.newest_ns <= view.said.t_ns


def shifted(example, by_ns):
    """The same example with all questions and replies moved: a planted fault."""
    moved = [
        block if block.grids else replace(block, t0_ns=max(0, block.t0_ns + by_ns), t1_ns=max(0, block.t1_ns + by_ns))
        for block in example.blocks
    ]
    return replace(example, blocks=tuple(moved))


def test_a_reply_that_moved_behind_later_frames_is_found(corpus):
    material = corpus.materials["train"][0]
    example = make("realtime", material, desk())[0]
    found = faults(shifted(example, 3 * SECOND), how(), material.footage, evidence_in(material))
    assert any("sees a frame of" in fault for fault in found)


def test_a_reply_before_its_evidence_is_found(corpus):
    material = corpus.materials["train"][0]
    evidence = evidence_in(material)
    example = next(
        example for example in make("sliding_window", material, desk()) if any(evidence(s) for s in example.said)
    )
    found = faults(shifted(example, -4 * SECOND), how(), material.footage, evidence)
    assert any("does not see" in fault or "has seen nothing" in fault for fault in found)


def test_words_known_later_are_found(corpus):
    material = corpus.materials["train"][0]
    example = make("captions", material, desk())[0]
    late = tuple(replace(said, evidence_ns=said.t_ns + 1) for said in example.said)
    found = faults(replace(example, said=late), how(), material.footage, lambda _: None)
    assert len(found) == len(late)


@pytest.mark.parametrize("name", SOURCES)
def test_examples_are_the_same_every_time_and_pack(corpus, name):
    material = corpus.materials["train"][1]
    first, again = make(name, material, desk()), make(name, material, desk())
    assert first == again
    assert len({example.key for example in first}) == len(first)
    for example in first:
        both = [example] if example.rival is None else [example, example.rival]
        row = pack_row(both, how())
        assert len(row.token_ids) == sum(each.tokens for each in both)
        # What is learned stands in the tokens: words by bytes, behind the decision token if there is one.
        said = [token for each in both for item in each.said for token in item.text.encode()]
        assert [token for token in row.targets.tolist() if token < 256] == [letter_of(byte) for byte in said]


def letter_of(byte):
    """The id of a byte in the byte tokenizer."""
    if not LETTERS:
        tokenizer = byte_tokenizer()
        LETTERS.update({value: tokenizer.encode(bytes([value]).decode("latin-1"))[0] for value in range(32, 127)})
    return LETTERS[byte]


LETTERS: dict[int, int] = {}


def size_of(example):
    """A preference needs room for both of its answers."""
    return example.tokens + (example.rival.tokens if example.rival else 0)


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "moments"])
def test_what_is_too_long_is_cut_or_counted(corpus, name):
    materials = [material for split in sorted(corpus.materials) for material in corpus.materials[split]]
    whole = [example for material in materials for example in make(name, material, desk())]
    tight = desk(limit=max(map(size_of, whole)) // 2 + 60)
    parts = [example for material in materials for example in make(name, material, tight)]
    assert parts
    assert len(parts) > len(whole) or tight.left.counts or any(example.cuts for example in parts)
    for example in parts:
        assert size_of(example) <= tight.limit or example.cuts
    nothing = desk(limit=10)
    assert [example for material in materials for example in make(name, material, nothing)] == []
    reasons = {reason for source, reason in nothing.left.counts if source == name}
    assert reasons
    assert reasons <= {"longer than pack.tokens", "evidence is not shown", "answered behind the stretch",
                       "no worse trace can be made", "no grid in its window"}  # fmt: skip


def test_each_event_is_told_once(corpus):
    for material in corpus.materials["train"]:
        at = desk()
        said = [item for example in captions(material, AlignConfig(window_s=1000.0), at) for item in example.said]
        words = " ".join(item.text for item in said)
        for told in told_of(material):
            seen = [grid for grid in material.footage.grids if grid.t1_ns >= told.known_ns]
            assert told.text in words or not seen or at.left.counts
        assert all(item.asked for item in said)


def test_captions_ask_beside_the_video(corpus):
    example = captions(corpus.materials["train"][0], AlignConfig(), desk())[0]
    asked = [block for block in example.blocks if block.learn is not None]
    assert asked
    assert all(block.passing for block in asked)


def test_events_are_on_at_every_grid_that_they_touch(corpus):
    material = corpus.materials["train"][0]
    (example,) = frame_events(material, 1000.0, desk())
    grids = material.footage.grids
    assert [said.t_ns for said in example.said] == [grid.t1_ns + 1 for grid in grids]
    told = {name for said in example.said for name in names_in(said.text)}
    before = -1
    expected = set()
    for grid, said in zip(grids, example.said, strict=True):
        on = on_between(material.events, before_ns=before, until_ns=grid.t1_ns)
        assert said.text == answer_of(on)
        expected |= {name for event in on for name in names_in(answer_of([event]))}
        before = grid.t1_ns
    assert told == expected
    known = [event for event in material.events if event.known_from_ns <= grids[-1].t1_ns]
    missing = {answer_of([event]) for event in known if event.label != "video_start"} - expected
    assert missing == set()


def test_names_go_there_and_back():
    assert names_in(answer_of([])) == ()
    assert names_in("enter: red circle; shot_start.") == ("enter: red circle", "shot_start")
    assert QUESTION.endswith("?")


def test_a_sliding_window_learns_each_question_once_behind_its_overlap(corpus):
    for material in corpus.materials["train"]:
        at = desk()
        examples = sliding_window(material, STREAM, at)
        learned = [said for example in examples for said in example.said]
        left = at.left.counts["sliding_window", "evidence is not shown"]
        assert len(learned) + left == len(instants(material))


@pytest.mark.parametrize("name", ["sliding_window", "incremental"])
def test_many_questions_are_dealt_out_and_each_conversation_shows_the_whole_window(corpus, name):
    source = {"sliding_window": sliding_window, "incremental": incremental}[name]
    dealt = 0
    for material in corpus.materials["train"]:
        whole = source(material, STREAM.model_copy(update={"rounds": 1000}), desk())
        parts = source(material, STREAM.model_copy(update={"rounds": 2}), desk())
        assert all(len(example.said) <= 2 for example in parts)
        assert len({example.key for example in parts}) == len(parts)
        for example in whole:
            stem = example.key.rsplit("/", 1)[0]
            mine = [part for part in parts if part.key.rsplit("/", 1)[0] == stem]
            said = sorted((said.t_ns, said.text) for part in mine for said in part.said)
            assert said == sorted((said.t_ns, said.text) for said in example.said)
            # Up to the last question the frames are those of the whole.
            shown = sorted({grid.t0_ns for grid in example.grids})
            for part in mine:
                seen = sorted({grid.t0_ns for grid in part.grids})
                assert seen == shown[: len(seen)]
                assert all(said.t_ns <= seen[-1] + 1 * SECOND for said in part.said)
            dealt += len(mine) > 1
    assert dealt


def test_questions_beside_the_video_are_dealt_out_over_its_examples(corpus):
    settings = StreamConfig(standing=1, twins=0.0)
    dealt = 0
    for material in corpus.materials["train"]:
        examples = realtime(material, settings, desk())
        counts = [sum(said.asked for said in example.said) for example in examples]
        one = realtime(material, settings.model_copy(update={"standing": 1000}), desk())
        asked = [(said.t_ns, said.text) for example in one for said in example.said if said.asked]
        assert sorted((s.t_ns, s.text) for example in examples for s in example.said if s.asked) == sorted(asked)
        dealt += sum(count > 0 for count in counts) > 1
    assert dealt


def _first_reply(example):
    return next(block for block in example.blocks if block.kind == "reply")


def test_the_text_sink_is_there_and_no_frame_sees_it(corpus):
    material = corpus.materials["train"][0]
    later = [example for example in sliding_window(material, STREAM, desk()) if example.key.split("/")[-2] != "0"]
    sunk = [example for example in later if _first_reply(example).learn is None]
    assert sunk
    for example in sunk:
        context = derive(example.blocks, how().layout, clock=how().clock)
        frames = [k for k, block in enumerate(context.blocks) if block.grids and not block.passing]
        texts = [k for k, block in enumerate(context.blocks) if block.kind in ("query", "reply")]
        first = frames[0]
        assert all(not bool(context.sees[frame, text]) for frame in frames for text in texts if text > first)


def test_a_window_that_shares_nothing_is_written_in_order(corpus):
    """As behind a gap: a question of its first frame alone comes before the grid behind which the past would stand."""
    early, past = 0, 0
    for material in corpus.materials["train"]:
        for length in (2.0, 3.0, 5.0):
            settings = STREAM.model_copy(update={"window_s": length, "overlap_s": 0.001})
            for example in sliding_window(material, settings, desk()):
                first = next(block for block in example.blocks if block.grids).grids[0]
                is_early = any(said.t_ns < first.t_ns + SECOND // 2 for said in example.said)
                early += is_early
                past += not is_early and _first_reply(example).learn is None
    assert early
    assert past


def test_a_carried_cache_is_cut_at_its_windows(corpus):
    material = corpus.materials["train"][0]
    (example,) = incremental(material, STREAM.model_copy(update={"rounds": 1000}), desk())
    begins = [example.blocks[cut] for cut in example.cuts]
    assert all(block.grids for block in begins)
    windows = [block.grids[0].t_ns // (4 * SECOND) for block in begins]
    assert windows == sorted(set(windows))
    assert len(begins) in (3, 4)
    row = pack_row([example], how())
    assert len(row.cuts) == len(example.cuts)
    assert list(row.cuts) == sorted(row.cuts)
