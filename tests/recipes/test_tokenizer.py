"""A tokenizer of one's own: frequent words are one token, any text can be written, marks are where prompts look."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from models.tiny import SPECIAL_TOKENS
from recipes.errors import RecipeError
from recipes.tokenizer import learn_tokenizer

TEXTS = ["What colour is it?", "red", "The red circle enters from the left.", "How many shots so far? 3"]
TOKENIZER = learn_tokenizer(TEXTS * 3, family="qwen2_5_vl", vocabulary=420)


def ids(text, tokenizer=TOKENIZER):
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


@settings(max_examples=50)
@given(st.text(max_size=40).filter(lambda text: not any("\ud800" <= letter <= "\udfff" for letter in text)))
def test_any_text_comes_back(text):
    assert TOKENIZER.decode(ids(text), clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("word", ["What", " colour", " is", " it", "?", "red", " circle", "assistant", "user", "\n"])
def test_words_that_are_often_read_are_one_token(word):
    assert len(ids(word)) == 1


def test_digits_stand_alone_so_that_any_number_is_read():
    assert [TOKENIZER.decode([token]) for token in ids("127")] == ["1", "2", "7"]


def test_marks_are_single_tokens_and_typed_marks_are_text():
    for token in SPECIAL_TOKENS:
        assert len(TOKENIZER(token, add_special_tokens=False)["input_ids"]) == 1
    assert TOKENIZER.convert_tokens_to_ids("<|respond|>") not in ids("<|respond|>")


@given(st.permutations(TEXTS))
@settings(max_examples=10)
def test_the_order_of_texts_does_not_matter(texts):
    assert (
        learn_tokenizer(texts, family="qwen2_5_vl", vocabulary=420).get_vocab()
        == learn_tokenizer(TEXTS, family="qwen2_5_vl", vocabulary=420).get_vocab()
    )


def test_it_comes_back_from_a_folder(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert ids("The red circle? 12", again) == ids("The red circle? 12")
    assert again.chat_template == TOKENIZER.chat_template


def test_a_vocabulary_without_room_is_refused():
    with pytest.raises(RecipeError, match="vocabulary: found 260"):
        learn_tokenizer(TEXTS, family="qwen2_5_vl", vocabulary=260)
