import threading

import pytest

from datasets_build.decoders.ahead import ahead


def counted(n, made, *, fails=False):
    """Numbers up to `n`; `made` notes each, and at last that the generator was closed, and by which thread."""
    try:
        for k in range(n):
            made.append(k)
            yield k
        if fails:
            raise ValueError("behind the last")
    finally:
        made.append(threading.current_thread())


@pytest.mark.parametrize("most", [2, 3, 8, 64])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 100])
def test_the_same_items_come_in_the_same_order(n, most):
    assert list(ahead(counted(n, []), most=most)) == list(range(n))


def test_an_error_comes_behind_the_items_before_it():
    items, taken = ahead(counted(7, [], fails=True), most=4), []
    with pytest.raises(ValueError, match="behind the last"):
        list(map(taken.append, items))
    assert taken == list(range(7))


def test_items_are_made_before_they_are_asked_for_but_only_so_many():
    made, enough = [], threading.Event()

    def watched():
        for k in counted(100, made):
            if k == 7:
                enough.set()
            yield k

    items = ahead(watched(), most=4)
    assert next(items) == 0
    # Two runs of two lie ready, another one is given and one is in the making.
    assert not enough.wait(0.1)
    assert len(made) <= 7
    assert list(items) == list(range(1, 100))


def test_who_stops_listening_stops_the_thread_and_closes_what_it_ran():
    made = []
    items = ahead(counted(10_000, made), most=4)
    next(items)
    before = threading.active_count()
    items.close()
    assert threading.active_count() == before - 1
    assert isinstance(made[-1], threading.Thread)
    assert made[-1] is not threading.current_thread()
    assert len(made) < 20
