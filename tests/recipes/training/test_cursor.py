import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.errors import CheckpointError
from recipes.training.cursor import Cursor

cursors = st.builds(Cursor, epoch=st.integers(0, 9), step=st.integers(0, 10**6), skipped=st.lists(st.text()).map(tuple))


@given(cursor=cursors)
def test_it_survives_a_file(cursor):
    assert Cursor.from_json(json.loads(json.dumps(cursor.to_json()))) == cursor


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"epoch": 0, "step": 0},
        {"epoch": "0", "step": 0, "skipped": []},
        {"epoch": 0, "step": 0, "skipped": 3},
    ],
)
def test_anything_else_is_refused(value):
    with pytest.raises(CheckpointError, match="cursor: found"):
        Cursor.from_json(value)
