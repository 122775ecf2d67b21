"""Replies that were cut short end behind a whole token, in the text and in what is learned."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.backbone import family_of
from models.layouts import LAYOUTS
from models.prompts import Prompts
from models.tiny import tiny_config
from recipes.data.cut import cut_at_tokens, cut_text
from recipes.data.dialogues import dialogue_lines, dialogues, stretches_of
from recipes.data.rows import pack_row
from recipes.data.script import Desk, Left, Writer
from recipes.data.traces import preferences
from recipes.settings import InteractConfig
from recipes.tokenizer import learn_tokenizer
from tests.recipes.data.lessons import desk, how

WORDS = ("The red circle leaves.", "The red square comes.", "A blue circle leaves, über die Brücke.", "12 so far. 日本")
FAMILY = "qwen2_5_vl"


@cache
def wordy():
    """A tokenizer with whole words in it: a cut at characters seldom falls between two of its tokens."""
    return learn_tokenizer(WORDS * 3, family=FAMILY, vocabulary=420)


@cache
def prompts():
    return Prompts(wordy(), family_of(tiny_config(FAMILY)))


@cache
def wordy_desk():
    ids = tuple(prompts().single(f"<|{state}|>") for state in ("silence", "standby", "respond"))
    family = family_of(tiny_config(FAMILY))
    writer = Writer.of(wordy(), family, LAYOUTS["branch"], decision_ids=ids, system_prompt="Be brief.")
    return Desk(writer=writer, limit=100_000, left=Left(), seed=0)


TEXTS = st.one_of(
    st.lists(st.sampled_from(" ".join(WORDS).split()), min_size=1, max_size=6).map(" ".join),
    st.text(st.sampled_from("abé日\u0301 .12\n"), min_size=1, max_size=10),
)


@settings(max_examples=50)
@given(TEXTS, st.integers(0, 60))
def test_the_tokens_of_a_cut_are_the_first_ones_of_the_whole(whole, at):
    text = whole[:at]
    said = cut_text(text, whole, prompts())
    tokens, all_tokens = prompts().text(said) if said else (), prompts().text(whole)
    assert text.startswith(said)
    assert tokens == all_tokens[: len(tokens)]
    # Nothing more could have been said: one more token goes beyond the cut, or is half a character.
    for more in range(len(tokens) + 1, len(all_tokens) + 1):
        longer = wordy().decode(all_tokens[:more])
        assert not text.startswith(longer) or prompts().text(longer) != all_tokens[:more]


def test_a_cut_inside_a_word_is_no_beginning_of_the_reply():
    whole = "The red circle leaves."
    text = whole[:10]
    tokens, all_tokens = prompts().text(text), prompts().text(whole)
    assert tokens != all_tokens[: len(tokens)], "the planted cut falls between two tokens"
    assert cut_text(text, whole, prompts()) == "The red"
    assert cut_text("Th", whole, prompts()) == ""
    assert cut_text(whole, whole, prompts()) == whole
    assert cut_text("A", whole, prompts()) == "", "what the reply does not begin with was never said"


def cut_dialogue(row, *, decided, said):
    """The dialogue with one reply cut to a few characters of other words, and that reply."""
    users = {turn.id: turn for turn in row.turns if turn.role == "user"}

    def fits(turn):
        asked = users.get(turn.trigger_ref)
        begins = turn.start_ns if turn.window_start_ns is None else turn.window_start_ns
        at_once = asked is not None and begins <= asked.end_ns
        return turn.role == "assistant" and at_once != decided

    reply = next((turn for turn in row.turns if fits(turn)), None)
    if reply is None:
        return None
    whole = WORDS[0]
    cut = reply.model_copy(
        update={"text": whole[:said], "truncated_at_char": said, "intended_text": whole, "end_ns": reply.start_ns + 1}
    )
    turns = tuple(cut if turn.id == reply.id else turn for turn in row.turns)
    return row.model_copy(update={"turns": turns}), cut


def cuts(corpus, *, decided, said):
    found = []
    for material in corpus.materials["train"]:
        for row in material.dialogues:
            made = cut_dialogue(row, decided=decided, said=said)
            if made is not None:
                found.append((replace(material, dialogues=(made[0],)), *made))
    assert found
    return found


@pytest.mark.parametrize("decided", [False, True])
def test_what_is_learned_of_a_cut_reply_is_what_a_session_could_have_said(corpus, decided):
    wanted = prompts().text("The red")
    format_ = replace(how(), decision_ids=wordy_desk().writer.decision_ids)
    learned = 0
    for material, _, _ in cuts(corpus, decided=decided, said=10):
        made = dialogues(material, InteractConfig(feedback=0.0), wordy_desk(), replies={})
        made += preferences(material, InteractConfig(), wordy_desk(), replies={})
        for example in made:
            row = pack_row([example], format_)
            for place, said in enumerate(row.said):
                if said.text == "The red":
                    tokens = tuple(row.targets[row.answer == place].tolist())
                    assert tokens[int(decided) :] == wanted, "nothing stands behind it, its end neither"
                    learned += 1
            assert not [said for said in row.said if said.text == WORDS[0][:10]]
    assert learned


@pytest.mark.parametrize("decided", [False, True])
def test_a_cut_that_leaves_no_token_is_no_reply(corpus, decided):
    for material, row, reply in cuts(corpus, decided=decided, said=2):
        stretch = stretches_of(row, material.footage, 1000.0)[0]
        whole, short = (
            dialogue_lines(each, material, stretch, left=Left()) for each in (row, cut_at_tokens(row, prompts()))
        )
        kept = [line for line in short if line.name == reply.id]
        before = next(line for line in whole if line.name == reply.id)
        if decided:
            assert not kept
            # No decision is learned where it would have begun, and all others stay.
            assert [line.t_ns for line in short] == [line.t_ns for line in whole if line is not before]
        else:
            (line,) = kept
            assert (line.text, line.learn, line.ended) == ("", False, True)
            assert line.question == before.question
        assert all(line.text != "Th" for line in short)
        assert dialogues(material, InteractConfig(feedback=0.0), wordy_desk(), replies={})


def test_replies_that_were_not_cut_stay_as_they_are(corpus):
    for material in corpus.materials["train"]:
        for row in material.dialogues:
            after = cut_at_tokens(row, desk().writer.prompts)
            for one, other in zip(row.turns, after.turns, strict=True):
                assert one == other or one.truncated_at_char is not None
