"""Questions and remembered frames drawn for tests of routers."""

import torch
from hypothesis import strategies as st

from models.router import Candidate
from models.routers.indexer import Example

DIM = 8


def features(seed, tokens, dim=DIM):
    return torch.randn(tokens, dim, generator=torch.Generator().manual_seed(seed))


@st.composite
def memories(draw, max_size=8, least_tokens=0, scales=(1.0, 1.0, 0.0, 1e-20, 1e10)):
    """Candidates of different token counts, some empty or zero, at times that may be equal and are not sorted."""
    count = draw(st.integers(0, max_size))
    keys = draw(st.lists(st.integers(-20, 60), min_size=count, max_size=count, unique=True))
    made = []
    for key in keys:
        values = features(draw(st.integers(0, 5)), draw(st.integers(least_tokens, 4)))
        scale = draw(st.sampled_from(scales))
        kind = draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float64]))
        made.append(Candidate(key=key, t_ns=draw(st.integers(0, 4)), features=(values * scale).to(kind)))
    return made


queries = st.builds(features, st.integers(100, 110), st.integers(1, 4))


def hidden_task(count, *, rotation, seed, frames=12, answers=2):
    """Examples where a question's words are its frames' topic, turned by a rotation that nobody tells the router."""
    generator = torch.Generator().manual_seed(seed)
    dim = rotation.shape[0]
    made = []
    for _ in range(count):
        topics = torch.randn(frames, dim, generator=generator)
        topics[:answers] = topics[0]
        patches = topics[:, None] + 0.3 * torch.randn(frames, 4, dim, generator=generator)
        words = (topics[0] + 0.3 * torch.randn(3, dim, generator=generator)) @ rotation.T
        order = torch.randperm(frames, generator=generator).tolist()
        candidates = tuple(Candidate(key=i, t_ns=i, features=patches[j]) for i, j in enumerate(order))
        relevant = tuple(i for i, j in enumerate(order) if j < answers)
        made.append(Example(query=words, candidates=candidates, relevant=relevant))
    return made


def random_rotation(dim, seed):
    return torch.linalg.qr(torch.randn(dim, dim, generator=torch.Generator().manual_seed(seed)))[0]
