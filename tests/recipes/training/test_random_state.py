import io
import random

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes.training.random_state import random_state, restore_random_state, seed_all


def draws():
    return [random.random(), random.gauss(0, 1), *np.random.rand(3), np.random.randn(), *torch.rand(3).tolist()]


@settings(max_examples=10)
@given(seed=st.integers(0, 2**40), before=st.integers(0, 3))
def test_what_is_drawn_after_a_restore_is_what_was_drawn_before(seed, before):
    seed_all(seed)
    for _ in range(before):
        draws()
    file = io.BytesIO()
    torch.save(random_state(), file)
    first = draws()
    file.seek(0)
    restore_random_state(torch.load(file, weights_only=True))
    assert draws() == first
    seed_all(seed)
    if before == 0:
        assert draws() == first
