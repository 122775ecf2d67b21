"""Marks and works for laws: small whole numbers of milliseconds, so that ties and touching ends do occur."""

from hypothesis import strategies as st

from tests.annotate.people import LABELS, MS, events, mark


@st.composite
def marks(draw, *, most=5, labels=LABELS, points=True):
    """Up to `most` marks in a clip of 10 s, some of them instants."""
    found = []
    for number in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, 90)) * 100 * MS
        length = draw(st.integers(1, 30)) * 100 * MS
        is_point = points and draw(st.booleans()) and draw(st.booleans())
        label = draw(st.sampled_from(labels))
        end = start if is_point else start + length
        found.append(mark(f"m{number}", label, start, end, is_point=is_point))
    return tuple(found)


def works(**settings):
    """Works about events."""
    return marks(**settings).map(lambda drawn: events(*drawn))
