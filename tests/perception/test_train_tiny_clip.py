import json
import math
from dataclasses import asdict
from random import Random

import open_clip
import pytest
import torch

from datasets_build.perception import train_tiny_clip
from datasets_build.perception.train_tiny_clip import (
    NOTE,
    SIDE,
    TOKENS,
    WEIGHTS,
    Settings,
    contrastive_loss,
    disturbed,
    drawn,
    save_weights,
    train,
    truth_table,
    write_folder,
)
from datasets_build.sources.world_stills import Sentence, tell, write_still

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def stills(count):
    rng = Random(0)
    return [write_still(rng) for _ in range(count)]


def test_the_tokenizer_is_open_clips_own_reading_of_the_folder(tmp_path):
    write_folder(tmp_path)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path}")
    tokens = tokenizer(["Two red crosses and an orange star.", "A zebra"])
    assert tokens.shape == (2, train_tiny_clip.WORDS)
    words = [TOKENS[number] for number in tokens[0].tolist()]
    assert words[:9] == ["<start_of_text>", "two", "red", "crosses", "and", "an", "orange", "star", "."]
    assert words[9:11] == ["<end_of_text>", "<pad>"]
    # The text tower reads at the greatest number, which must be the end of every text.
    assert (tokens.argmax(1) == torch.tensor([9, 3])).all()
    assert TOKENS[tokens[1, 2]] == "<unk>"


def test_a_text_that_is_too_long_keeps_its_end(tmp_path):
    write_folder(tmp_path)
    (row,) = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(["red " * 60])
    assert TOKENS[row[-1]] == "<end_of_text>"


def test_every_sentence_fits_into_the_context_without_an_unknown_word(tmp_path):
    write_folder(tmp_path)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path}")
    rng = Random(1)
    tokens = tokenizer([tell(still, rng).text for still in stills(200)])
    assert not (tokens == TOKENS.index("<unk>")).any()
    assert (tokens[:, -1] == 0).all()


def test_the_folder_says_what_the_model_does_not_know(tmp_path):
    write_folder(tmp_path)
    assert json.loads((tmp_path / "open_clip_config.json").read_text())["note"] == NOTE
    assert "knows nothing of real video" in NOTE


def test_the_loss_is_clips_own_where_each_has_one_partner():
    torch.manual_seed(0)
    likeness = torch.randn(6, 6)
    image, text = torch.eye(6), likeness.T.contiguous()
    theirs = open_clip.ClipLoss()(image, text, torch.tensor(1.0))
    assert contrastive_loss(likeness, torch.eye(6, dtype=torch.bool)).item() == pytest.approx(theirs.item(), abs=1e-6)


def test_the_loss_is_least_where_all_true_partners_are_alike_near():
    fits = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    best = contrastive_loss(fits.float() * 50, fits)
    assert best.item() == pytest.approx(2 * math.log(2) / 3, abs=1e-4)
    # One of two partners left out costs more, though a partner is nearest.
    worse = fits.float() * 50
    worse[0, 1] = 0
    assert contrastive_loss(worse, fits) > best + 1


def test_the_table_of_truth_knows_two_sentences_of_one_picture():
    one, other, *_ = (still for still in stills(40) if len(still.names) == 1)
    table = truth_table([one, other], [Sentence("", one.names), Sentence("", other.names), Sentence("", one.names)])
    assert table.tolist() == [[True, False, True], [False, True, False]]


def test_pictures_are_squeezed_whole():
    found = drawn(stills(3))
    assert found.shape == (3, 3, SIDE, SIDE)
    assert found.dtype == torch.uint8


def test_a_disturbed_picture_keeps_its_shape_and_range_and_differs_each_time():
    pictures = drawn(stills(4))
    generator = torch.Generator().manual_seed(0)
    one, other = disturbed(pictures, generator), disturbed(pictures, generator)
    for found in (one, other):
        assert found.shape == pictures.shape
        assert found.dtype == torch.float32
        assert 0 <= found.min() <= found.max() <= 1
    assert (one - other).abs().mean() > 0.01
    again = disturbed(pictures, torch.Generator().manual_seed(0))
    assert torch.equal(one, again)


@pytest.mark.slow
def test_training_twice_gives_the_same_bytes(tmp_path):
    settings = Settings(steps=6, batch=8, held=10)
    for name in "ab":
        (tmp_path / name).mkdir()
        write_folder(tmp_path / name)
        save_weights(train(settings, tmp_path / name), tmp_path / name)
    first, second = ((tmp_path / name / WEIGHTS).read_bytes() for name in "ab")
    assert first == second
    (tmp_path / "c").mkdir()
    write_folder(tmp_path / "c")
    save_weights(train(Settings(**{**asdict(settings), "seed": 1}), tmp_path / "c"), tmp_path / "c")
    assert (tmp_path / "c" / WEIGHTS).read_bytes() != first
