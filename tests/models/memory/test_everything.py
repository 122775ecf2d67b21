"""The policy that forgets nothing."""

from hypothesis import given, settings

from models.memory.policy import Change, Chunk, MemorySettings, build_policy
from tests.laws import examples
from tests.models.memory.streams import step, streams


@settings(max_examples=examples(25))
@given(events=streams())
def test_all_keeps_every_chunk_whatever_the_settings(events):
    policy = build_policy("all", settings=MemorySettings(last=1, window_s=0.5, max_tokens=1))
    for event in events:
        assert step(policy, event) == Change()
    keys = tuple(event.key for event in events if isinstance(event, Chunk))
    assert policy.live() == keys
    assert policy.max_tokens(chunk_tokens=4) is None
    assert policy.nbytes() >= 8 * len(keys)
