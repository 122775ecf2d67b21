"""The line of requests, the thread that serves it, and how both end."""

import gc
import subprocess
import sys
import threading
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ClosedError
from models.vision_line import Line, Outcome, Request, Server
from tests.models.watched import WAIT

STEPS = st.lists(st.sampled_from(["put", "cancel", "take"]), max_size=30)


class Echo:
    """Answers each request with itself."""

    def __init__(self):
        self.batches = []
        self.threads = set()

    def answer(self, requests):
        self.threads.add(torch.get_num_threads())
        self.batches.append(len(requests))
        for request in requests:
            request.future.set_result(request.frames)


def asked(value=0):
    return Request(torch.full((1, 2, 2, 3), value, dtype=torch.uint8))


@given(steps=STEPS, most=st.integers(1, 4), cancel=st.booleans())
def test_requests_are_taken_in_order_and_each_ends_once(steps, most, cancel):
    line, put, taken = Line(), [], []
    for step in steps:
        if step == "put":
            put.append(asked())
            line.put(put[-1], most=len(steps))
        elif step == "cancel" and line.waiting:
            line.waiting[len(line.waiting) // 2].future.cancel()
        elif step == "take" and any(not request.future.cancelled() for request in line.waiting):
            found = line.take(most)
            assert 1 <= len(found) <= most
            taken += found
            line.rest()
    waiting = [request for request in line.waiting if not request.future.cancelled()]
    line.close(cancel=cancel)
    left = line.take(len(steps) + 1)
    assert left == ([] if cancel else waiting)
    assert line.take(1) == []
    assert line.submitted == len(put) == len(taken) + len(left) + line.counts[Outcome.CANCELLED]
    assert [request for request in put if request in taken or request in left] == taken + left
    with pytest.raises(ClosedError):
        line.put(asked(), most=1)
    with pytest.raises(ClosedError):
        line.count_in()


def test_a_full_line_lets_nobody_in_until_one_is_taken():
    line, inside = Line(), threading.Event()
    line.put(asked(), most=1)

    def push():
        line.put(asked(), most=1)
        inside.set()

    thread = threading.Thread(target=push)
    thread.start()
    assert not inside.wait(0.05)
    assert len(line.take(1)) == 1
    assert inside.wait(WAIT)
    thread.join()
    assert line.submitted == 2


def test_draining_waits_for_what_is_being_answered():
    line, drained = Line(), threading.Event()
    line.put(asked(), most=9)
    line.take(1)
    thread = threading.Thread(target=lambda: (line.drain(), drained.set()))
    thread.start()
    assert not drained.wait(0.05)
    line.rest()
    assert drained.wait(WAIT)
    thread.join()


def test_a_server_answers_in_batches_with_as_many_threads_as_its_maker():
    line, echo = Line(), Echo()
    requests = [asked(value) for value in range(7)]
    for request in requests:
        line.put(request, most=9)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        server = Server(line, echo.answer, batch=3)
    finally:
        torch.set_num_threads(before)
    server.start()
    assert [int(request.future.result(WAIT)[0, 0, 0, 0]) for request in requests] == list(range(7))
    line.close(cancel=False)
    server.join(WAIT)
    assert (echo.batches, echo.threads) == ([3, 3, 1], {before + 1})
    assert torch.get_num_threads() == before


def test_a_server_does_not_keep_whom_it_works_for():
    line, echo = Line(), Echo()
    server = Server(line, echo.answer, batch=1)
    gone = weakref.ref(echo)
    del echo
    gc.collect()
    assert gone() is None
    request = asked()
    line.put(request, most=1)
    server.start()
    with pytest.raises(ClosedError, match="keep the model"):
        request.future.result(WAIT)
    line.close(cancel=False)
    server.join(WAIT)
    assert line.counts[Outcome.CANCELLED] == 1


LEFT_OPEN = """
import numpy
from models.streaming import StreamingModel
from models.tiny import tiny_config

session = StreamingModel.from_random(tiny_config("qwen2_5_vl")).session()
frames = numpy.random.default_rng(0).integers(0, 255, (8, 160, 160, 3), dtype=numpy.uint8)
for index, frame in enumerate(frames):
    session.add_frame(frame, index * 10**9)
{end}
"""


@pytest.mark.slow
@pytest.mark.parametrize(("end", "code"), [("", 0), ("raise SystemExit(3)", 3)])
def test_a_program_may_end_while_frames_are_encoded(end, code):
    child = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN.format(end=end)], capture_output=True, text=True, timeout=280, check=False
    )
    assert (child.returncode, child.stderr) == (code, "")
