"""From logits to text: tokens are chosen as published, text that was given out never changes, sentences stay whole."""

import itertools

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from models.decode import REPLACEMENT, Chooser, Sampling, Sentences, StopRule, TextStream, loops
from models.errors import SettingsError
from models.tiny import byte_tokenizer
from tests.laws import examples
from tests.models.small import merging_tokenizer

TOKENIZERS = {"bytes": byte_tokenizer(), "merges": merging_tokenizer()}
LOGITS = st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=24).map(torch.tensor)
TEXTS = st.text(st.sampled_from("ab né中🎈\n.。"), max_size=12)


def ids(text: str, tokenizer=TOKENIZERS["bytes"]) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def drawn(sampling: Sampling, logits: torch.Tensor, count: int = 12) -> list[int]:
    chooser = Chooser(sampling)
    return [chooser.choose(logits, []) for _ in range(count)]


# Choosing.


@given(logits=LOGITS, top_k=st.integers(0, 3), top_p=st.floats(0.1, 1))
@settings(max_examples=examples(30))
def test_greedy_takes_the_first_of_the_likeliest(logits, top_k, top_p):
    best = min(place for place, value in enumerate(logits) if value == logits.max())
    assert Chooser(Sampling(top_k=top_k, top_p=top_p)).choose(logits, []) == best


@given(logits=LOGITS, given_tokens=st.lists(st.integers(0, 99), max_size=4), temperature=st.sampled_from([0.0, 1.0]))
@settings(max_examples=examples(20))
def test_given_tokens_come_first_and_then_those_of_the_model(logits, given_tokens, temperature):
    free = Chooser(Sampling(temperature=temperature))
    held = Chooser(Sampling(temperature=temperature, given=tuple(given_tokens)))
    said: list[int] = []
    for token in given_tokens:
        said.append(held.choose(logits, said))
        assert said[-1] == token
    assert held.choose(logits, said) == free.choose(logits, said)


@pytest.mark.parametrize("tokens", [[1], (1, "2"), (-1,), "12"])
def test_given_tokens_are_ids(tokens):
    with pytest.raises(SettingsError, match="given"):
        Sampling(given=tokens)


@given(logits=LOGITS, seed=st.integers(0, 2**63 - 1))
@example(logits=torch.tensor([0.0, 0.0]), seed=2**63 - 1)
@settings(max_examples=examples(30))
def test_the_same_seed_draws_the_same(logits, seed):
    sampling = Sampling(temperature=1.0, seed=seed)
    assert drawn(sampling, logits) == drawn(sampling, logits)


def test_another_seed_draws_something_else():
    assert drawn(Sampling(temperature=1.0, seed=1), torch.zeros(50)) != drawn(
        Sampling(temperature=1.0, seed=2), torch.zeros(50)
    )


def published(sampling: Sampling, logits: torch.Tensor, reply: list[int]) -> torch.Tensor:
    """Chances by the processors of transformers, one after the other in the order of its generation."""
    said, scores = torch.tensor([reply], dtype=torch.int64), logits[None]
    if sampling.repetition_penalty != 1:
        scores = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)(said, scores)
    scores = TemperatureLogitsWarper(sampling.temperature)(said, scores)
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(said, scores)
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(said, scores)
    return scores[0].softmax(-1)


@given(
    values=st.lists(st.integers(-40, 40), min_size=3, max_size=12, unique=True),
    temperature=st.sampled_from([0.3, 1.0, 2.5]),
    top_k=st.integers(0, 5),
    top_p=st.sampled_from([0.37, 0.71, 1.0]),
    penalty=st.sampled_from([1.0, 1.7]),
    seed=st.integers(0, 99),
)
@settings(max_examples=examples(30))
def test_draws_follow_the_published_warpers(values, temperature, top_k, top_p, penalty, seed):
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=penalty, seed=seed)
    logits, reply = torch.tensor(values) / 8, [0, 2, 2]
    chances = published(sampling, logits, reply)
    chooser, generator = Chooser(sampling), torch.Generator().manual_seed(seed)
    for _ in range(8):
        token = chooser.choose(logits, reply)
        assert chances[token] > 0, "a token that the published rule leaves out"
        assert token == int(torch.multinomial(chances, 1, generator=generator))


def test_frequencies_are_the_chances():
    sampling, logits = Sampling(temperature=0.8, top_k=3, seed=4), torch.tensor([1.0, 0.5, 0.0, -3.0])
    chances = published(sampling, logits, [])
    counts = torch.bincount(torch.tensor(drawn(sampling, logits, 2000)), minlength=4) / 2000
    assert counts[3] == 0
    assert (counts - chances).abs().max() < 0.04


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300, 5e-324])
def test_the_coldest_draw_is_the_likeliest(temperature):
    logits = torch.tensor([3.0, 1e4, 9_999.0, -1e4])
    assert set(drawn(Sampling(temperature=temperature, top_k=3, top_p=0.9), logits)) == {1}


def test_the_hottest_draw_takes_any():
    assert set(drawn(Sampling(temperature=1e308), torch.tensor([9.0, -9.0, 0.0]), 60)) == {0, 1, 2}


def test_a_penalty_makes_what_was_said_less_likely():
    logits = torch.tensor([2.0, 1.9, -1.0])
    chooser = Chooser(Sampling(repetition_penalty=1.2))
    assert [chooser.choose(logits, reply) for reply in ([], [0], [0, 1], [1])] == [0, 1, 0, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1}, {"temperature": float("inf")}, {"temperature": float("nan")}, {"top_k": -1},
        {"top_k": 1.5}, {"top_p": 0.0}, {"top_p": 1.01}, {"repetition_penalty": 0.0},
        {"repetition_penalty": float("inf")}, {"seed": -1}, {"seed": 2**63}, {"seed": 0.5},
    ],
)  # fmt: skip
def test_sampling_names_what_is_wrong(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Sampling(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0}, {"max_new_tokens": 2.0}, {"max_new_tokens": True}, {"texts": ("a", "")},
        {"texts": "stop"}, {"texts": (3,)}, {"repeats": 1}, {"repeats": -1}, {"repeats": 2.5},
    ],
)  # fmt: skip
def test_a_stop_rule_names_what_is_wrong(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        StopRule(**wrong)


# Text.


def streamed(tokens: list[int], tokenizer, stop: tuple[str, ...] = ()) -> tuple[list[str], TextStream, int]:
    """The pieces of a reply, the stream behind it, and how many tokens it took."""
    text, pieces = TextStream(tokenizer, stop=stop), []
    for count, token in enumerate(tokens, start=1):
        pieces.append(text.add(token))
        if text.stopped:
            return pieces, text, count
    pieces.append(text.rest())
    return pieces, text, len(tokens)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(tokens=st.data())
@settings(max_examples=examples(40))
def test_pieces_are_the_decoded_whole_for_any_tokens(name, tokens):
    """Broken bytes, special tokens and lines in any order: the pieces join to what the tokenizer makes of all."""
    tokenizer = TOKENIZERS[name]
    pads = tuple(ids("中é\n🎈", tokenizer))
    one = st.one_of(st.sampled_from(pads), st.integers(0, len(tokenizer) - 1), st.sampled_from([10, 198, 0xE4]))
    given_out = tokens.draw(st.lists(one.filter(lambda token: token < len(tokenizer)), max_size=20))
    pieces, text, _ = streamed(given_out, tokenizer)
    assert "".join(pieces) == tokenizer.decode(given_out, skip_special_tokens=True)
    assert not text.stopped


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=TEXTS)
@settings(max_examples=examples(25))
def test_whole_text_never_shows_a_broken_character(name, text):
    tokenizer = TOKENIZERS[name]
    pieces, _, _ = streamed(ids(text, tokenizer), tokenizer)
    assert "".join(pieces) == tokenizer.decode(ids(text, tokenizer))
    assert not any(REPLACEMENT in piece for piece in pieces)


def test_a_token_that_ends_inside_a_character_waits_for_the_rest():
    """`PÃ` is a capital letter and the first byte of é: neither is given out before the second byte."""
    tokenizer = TOKENIZERS["merges"]
    tokens = ids("Pé", tokenizer)
    assert len(tokens) == 2
    pieces, _, _ = streamed(tokens, tokenizer)
    assert pieces == ["", "Pé", ""]


def test_a_replacement_character_that_was_meant_comes_out():
    pieces, _, _ = streamed(ids("a\ufffdb"), TOKENIZERS["bytes"])
    assert "".join(pieces) == "a\ufffdb"


def test_what_never_becomes_whole_is_given_at_the_end():
    pieces, _, _ = streamed(ids("a中")[:-1], TOKENIZERS["bytes"])
    assert pieces == ["a", "", "", REPLACEMENT]


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=TEXTS, stop=st.lists(st.text(st.sampled_from("ab né中\n."), min_size=1, max_size=3), max_size=3))
@settings(max_examples=examples(40))
def test_text_ends_before_the_first_stop_text(name, text, stop):
    tokenizer = TOKENIZERS[name]
    tokens = ids(text, tokenizer)
    pieces, stream, count = streamed(tokens, tokenizer, tuple(stop))
    seen, out = tokenizer.decode(tokens[:count]), "".join(pieces)
    ends = [seen.find(one) for one in stop if one in seen]
    assert out == (seen[: min(ends)] if ends else seen)
    assert not any(one in out for one in stop)
    # A text that stops is noticed with the token that completes it, unless that one begins another character.
    whole = tokenizer.decode(tokens[: count - 1])
    if stream.stopped and not whole.endswith(REPLACEMENT):
        assert not any(one in whole for one in stop)


@pytest.mark.parametrize(
    ("text", "stop", "pieces"),
    [
        ("abSTOPc", "STOP", ["a", "b", "", "", "", ""]),
        ("aSTaSTOP", "STOP", ["a", "", "", "STa", "", "", "", ""]),
        ("aaab", "aab", ["", "", "a", ""]),
        ("é中x", "中", ["", "é", "", "", ""]),
        ("a\n\nb", "\n\n", ["a", "", ""]),
    ],
)
def test_text_that_may_begin_a_stop_text_waits(text, stop, pieces):
    found, stream, _ = streamed(ids(text), TOKENIZERS["bytes"], (stop,))
    assert found == pieces
    assert stream.stopped


def test_a_stop_text_before_a_broken_character_is_found_at_the_end():
    tokenizer = TOKENIZERS["merges"]
    tokens = ids("xPé", tokenizer)[:-1]
    pieces, stream, _ = streamed(tokens, tokenizer, ("P",))
    assert pieces == ["x", "", ""]
    assert stream.stopped


def test_a_long_reply_decodes_only_its_last_line():
    stream = TextStream(TOKENIZERS["bytes"])
    for token in ids("one line\n" * 50):
        stream.add(token)
    assert len(stream._tokens) - stream._settled == 0
    assert stream.add(ids("x")[0]) == "x"


# Sentences.


def sentences(text: str, cuts: tuple[int, ...] = ()) -> list[str]:
    """The sentences of a text that comes in pieces."""
    joined, whole = Sentences(), []
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    for first, last in itertools.pairwise(places):
        whole += joined.add(text[first:last])
    rest = joined.rest()
    return [*whole, *([rest] if rest else [])]


@given(text=st.text(st.sampled_from('ab.!?…。！？"”」)1 \n'), max_size=30), cuts=st.sets(st.integers(0, 30)))
@settings(max_examples=examples(80))
def test_sentences_join_to_the_text_however_it_comes(text, cuts):
    whole = sentences(text)
    assert "".join(whole) == text
    assert sentences(text, tuple(cuts)) == whole
    assert sentences(text, tuple(range(31))) == whole
    assert all(part.strip() for part in whole) or not text.strip()


@pytest.mark.parametrize(
    "parts",
    [
        ["She waves. ", "Then she leaves! ", "Why? ", "Nobody knows"],
        ["It is 3.5 metres. ", "It costs $1.20 or 0.75."],
        ["Dr. Smith, e.g. the one of the U.S. team, met J. Doe. ", "They talked."],
        ["Was it I? ", "It was I. ", "So there."],
        ["No. ", "He did not."],
        ['"Stop." ', "He said (twice!) ", "it."],
        ["Wait... ", "what?! ", "Yes."],
        ["一只猫。", "它在跑！", "为什么？", "没人知道"],
        ["他说：“好。”", "然后走了。"],
        ["真的吗？！", "真的。 ", "Yes."],
        ["高3.5米。", "重2.0公斤。"],
        ["1. Open the door.\n", "2. Go in.\n\n", "3. Close it."],
        ["\n\nFirst line\n", "second line"],
        ["In 1999. ", "Later it changed."],
        ["See https://a.b/c?d=e.f now. ", "Good."],
    ],
    ids=lambda parts: parts[0].strip(),
)
def test_sentences_end_where_a_reader_would_end_them(parts):
    assert sentences("".join(parts)) == parts
    assert sentences("".join(parts), tuple(range(99))) == parts


def test_a_sentence_is_given_with_the_first_letter_of_the_next():
    joined = Sentences()
    assert [joined.add(piece) for piece in ("Hi", ".", " ", "T")] == [[], [], [], ["Hi. "]]
    assert joined.rest() == "T"
    assert joined.rest() == ""


# Loops.


@given(
    before=st.lists(st.integers(0, 3), max_size=6),
    phrase=st.lists(st.integers(0, 9), min_size=1, max_size=16),
    repeats=st.integers(2, 6),
)
@settings(max_examples=examples(30))
def test_a_phrase_that_repeats_is_a_loop(before, phrase, repeats):
    assert loops(before + phrase * repeats, repeats)


@given(tokens=st.lists(st.integers(0, 2), max_size=40), repeats=st.integers(2, 5))
@settings(max_examples=examples(60))
def test_nothing_else_is_a_loop(tokens, repeats):
    tails = [tokens[-period:] for period in range(1, 17)]
    said = any(tail and tokens[-len(tail) * repeats :] == tail * repeats for tail in tails)
    assert loops(tokens, repeats) == said


def test_no_repeats_turn_the_rule_off_and_long_phrases_are_no_loop():
    assert not loops([1] * 100, 0)
    assert not loops(list(range(17)) * 9, 8)
    assert not loops([1] * 7, 8)
    assert loops([1] * 8, 8)
