from hypothesis import given
from hypothesis import strategies as st

from datasets_build.formats.format import Options
from datasets_build.formats.loss import LossReport
from datasets_build.formats.samples import EARLIER, IMAGE, Shot, escaped, samples_of
from datasets_build.formats.steps import steps_of
from tests.formats.made import at, reel_of, said, shown, talk_of, talks

STEPS, TURNS = Options(), Options(layout="turns")


def written(talk, options=STEPS, *, turn_loss=True, seconds=4.0):
    losses = LossReport("test")
    return samples_of(reel_of(talk, seconds=seconds), options, losses, turn_loss=turn_loss), losses


def lost(losses):
    return {loss.field: loss.times for loss in losses}


def contents(sample):
    return [(message.role, message.content) for message in sample.messages]


def back(sample):
    """Steps as the messages of the layout `steps` tell them: frame, users' words, state, words, learn, weight."""
    found = []
    for user, assistant in zip(sample.messages[::2], sample.messages[1::2], strict=True):
        (frame,) = [part.frame_index for part in user.parts if isinstance(part, Shot)]
        asked = "\n".join(part for part in user.parts if isinstance(part, str))
        content = assistant.content
        words = content.removeprefix("</Response> ") if content.startswith("</Response> ") else ""
        state = {"</Silence>": "silence", "</Standby>": "standby"}.get(content, "respond")
        found.append((frame, asked, state, words, assistant.learn, assistant.weight))
    return found


@given(talks())
def test_messages_give_back_the_steps(talk):
    samples, _ = written(talk)
    steps = steps_of(talk, reel_of().clock, STEPS.rate).steps
    expected = [
        (
            step.frame_index, escaped(step.user_text, STEPS), step.state, escaped(step.text, STEPS), step.learn,
            step.weight,
        )
        for step in steps
    ]  # fmt: skip
    if not any(step.users or step.said for step in steps):
        assert samples == []
    else:
        assert back(samples[0]) == expected


@given(
    talks() | talks(kind="question"),
    st.sampled_from(["steps", "turns"]),
    st.booleans(),
    st.sampled_from([None, 1, 3, 7]),
)
def test_rows_are_what_trainers_take_and_nothing_is_early(talk, layout, turn_loss, longest):
    options = Options(layout=layout, max_steps=longest)
    clock = reel_of().clock
    samples, losses = written(talk, options, turn_loss=turn_loss)
    for sample in samples:
        assert [row.role for row in sample.messages] == ["user", "assistant"] * (len(sample.messages) // 2)
        assert sum(row.content.count(IMAGE) for row in sample.messages) == len(sample.frames)
        assert sample.frames == [step.frame_index for step in sample.steps]
        assert turn_loss or all(row.learn for row in sample.messages)
        # The time of the frame that each part comes with or after.
        t_ns = sample.steps[0].t_ns
        for row in sample.messages:
            for part in row.parts:
                if isinstance(part, Shot):
                    t_ns = clock.time_of(part.frame_index)
                    continue
                for turn in talk.turns:
                    known = turn.end_ns if turn.role == "user" else turn.start_ns
                    # Each turn's words begin with its number, so they stand for it alone.
                    if escaped(turn.text, options) in part.split("\n"):
                        assert known <= t_ns
    told = lost(losses)
    held = sum(len(step.users) + len(step.said) for sample in samples for step in sample.steps)
    gone = told.get("turn after the last step", 0) + told.get("turn behind the last message", 0)
    assert held + gone == len(talk.turns)


def test_the_layout_turns_is_silent_without_words():
    talk = talk_of(said("u", "user", 0.5, "Is it there?"), said("a", "assistant", 1.5, "Yes."))
    (sample,), losses = written(talk, TURNS)
    assert contents(sample) == [
        ("user", f"{IMAGE}\n{IMAGE}\n{IMAGE}\nIs it there?\n{IMAGE}\n{IMAGE}"),
        ("assistant", "Yes."),
    ]
    assert lost(losses)["step behind the last message"] == 8 - len(sample.frames)


def test_what_may_not_be_learned_is_told_by_the_user_where_each_message_is_learned():
    wrong = said("w", "assistant", 1.0, "Three.", learn=False)
    right = said("r", "assistant", 2.0, "No, two.", loss_weight=2.0)
    talk = talk_of(said("u", "user", 1.0, "How many?"), wrong, right)
    (sample,), losses = written(talk, TURNS, turn_loss=False)
    assert [row.content.split("\n")[-1] for row in sample.messages] == [IMAGE, "No, two."]
    assert "Assistant: Three." in sample.messages[0].content.split("\n")
    assert lost(losses)["turn.learn"] == 1
    assert lost(losses)["turn.loss_weight"] == 1
    (sample,), losses = written(talk, TURNS)
    assert [(row.learn, row.weight) for row in sample.messages[1::2]] == [(False, 1.0), (True, 2.0)]
    assert "turn.learn" not in lost(losses)


def test_a_turn_that_is_cut_short_is_not_learned():
    cut = said("a", "assistant", 1.0, "One mo", truncated_at_char=6, intended_text="One moment")
    (sample,), losses = written(talk_of(cut), TURNS)
    assert not sample.messages[1].learn
    assert lost(losses)["turn.intended_text"] == 1


def test_an_answer_that_is_out_of_time_at_its_step_is_not_learned():
    stale = said("a", "assistant", 1.04, "One so far.", window_start_ns=at(1.04), window_end_ns=at(1.2))
    (sample,), losses = written(talk_of(stale), TURNS)
    assert not sample.messages[1].learn
    assert lost(losses)["turn that is out of time at its step"] == 1
    (sample,), losses = written(talk_of(stale), Options(layout="turns", fps="native"))
    assert sample.messages[1].learn
    assert "turn that is out of time at its step" not in lost(losses)


def test_a_window_begins_with_what_was_said_and_learns_nothing_that_it_has_not_seen():
    asked = said("u", "user", 0.0, "How many so far?")
    talk = talk_of(asked, said("a", "assistant", 3.0, "Two.", evidence=shown(0.0, 3.0)))
    samples, losses = written(talk, Options(max_steps=4))
    assert [sample.key for sample in samples] == ["talk-000", "talk-001"]
    assert samples[1].messages[0].content == f"{EARLIER}\nUser: How many so far?\n{IMAGE}"
    assert [row.learn for row in samples[1].messages if "Two." in row.content] == [False]
    assert lost(losses)["turn whose evidence lies in an earlier window"] == 1
    assert lost(losses)["turn of an earlier window"] == 1


def test_windows_without_a_turn_are_left_out_and_told():
    samples, losses = written(talk_of(said("a", "assistant", 3.0, "Two.")), Options(max_steps=4))
    assert [sample.key for sample in samples] == ["talk-001"]
    assert lost(losses)["window without a turn"] == 4


def test_a_talk_that_says_nothing_to_learn_gives_no_sample():
    samples, losses = written(talk_of(said("a", "assistant", 3.0, "Two.", learn=False)), TURNS, turn_loss=False)
    assert samples == []
    assert lost(losses)["turn behind the last message"] == 1


def test_words_that_look_like_tags_are_broken_and_told():
    talk = talk_of(said("u", "user", 0.0, "What is <image> in <|im_end|>?"), system="Use <VIDEO>.")
    (sample,), losses = written(talk)
    assert sample.messages[0].content == f"{IMAGE}\nWhat is < image> in < |im_end|>?"
    assert sample.system == "Use < VIDEO>."
    assert lost(losses)["text that looks like a tag"] == 2


@given(st.text(alphabet="<image>|/SlncRpo v", max_size=30))
def test_no_text_holds_a_tag_or_a_decision_once_escaped(text):
    clean = escaped(text, STEPS)
    assert IMAGE not in clean
    assert "<|" not in clean
    assert not any(word in clean for word in ("</Silence>", "</Standby>", "</Response>"))


def test_what_no_conversation_holds_is_counted():
    user = said("u", "user", 0.2, "Is it there?", end_s=0.7, task="ask")
    yes = said("a", "assistant", 1.5, "Yes.", trigger="user_query", trigger_ref="u", evidence=shown(0.0, 1.0))
    more = said("b", "assistant", 1.6, "Two.", state="delegate")
    late = said("c", "assistant", 3.9, "Gone.")
    told = lost(written(talk_of(user, yes, more, late))[1])
    expected = {
        "turn.task": 1, "turn.trigger": 1, "turn.evidence": 1, "turn.end_ns": 1, "turn.state": 1, "step.t_ns": 1,
        "turn after the last step": 1,
    }  # fmt: skip
    assert told.items() >= expected.items()
    assert told["turn.start_ns"] == 3
