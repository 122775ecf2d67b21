import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datasets_build.perception.batches import Batches
from datasets_build.perception.clip import SIGNATURE


class Counting:
    """An encoder whose vector is the picture's first number, and that remembers how many pictures came at a time."""

    embedder = SIGNATURE

    def __init__(self, batch):
        self.batch, self.calls = batch, []

    def encode(self, pictures):
        self.calls.append(len(pictures))
        return np.array([[picture[0, 0, 0]] for picture in pictures], np.float32)


def picture(number):
    return np.full((2, 2, 3), number, np.uint8)


@given(batch=st.integers(1, 7), videos=st.lists(st.integers(0, 9), max_size=5))
def test_every_picture_gets_its_own_embedding_in_the_order_given_whoever_gave_it(batch, videos):
    encoder = Counting(batch)
    batches, seen, given_ = Batches(encoder), [], []
    for video, count in enumerate(videos):
        for k in range(count):
            number = 10 * video + k
            given_.append((video, number))
            batches.add(picture(number), lambda vector, video=video: seen.append((video, int(vector[0]))))
    batches.flush()
    assert seen == given_
    # Every batch but the last is full.
    assert all(call == batch for call in encoder.calls[:-1])
    assert sum(encoder.calls) == len(given_)


def test_nothing_is_embedded_before_a_batch_is_full_or_after_it_was_flushed():
    encoder = Counting(2)
    batches, seen = Batches(encoder), []
    batches.add(picture(1), seen.append)
    assert seen == []
    batches.add(picture(2), seen.append)
    assert len(seen) == 2
    batches.flush()
    assert encoder.calls == [2]
