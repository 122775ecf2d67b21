"""What training predicts from is what a session says, number for number: same pixels, times, positions and mask."""

from dataclasses import replace

import pytest
import torch

from datasets_build.video import read
from models.row import Fed
from recipes.data.captions import captions
from recipes.data.collate import collate
from recipes.data.features import Sightings
from recipes.data.frame_events import frame_events
from recipes.data.frames import Frames
from recipes.data.questions import instants, is_standing
from recipes.data.realtime import realtime
from recipes.data.windows import incremental
from recipes.learner import Learner
from recipes.settings import AlignConfig, StreamConfig
from tests.models.sessions import BASE, model_of
from tests.recipes.data.lessons import DECISIONS, desk, frame_format, how, open_corpus

PROMPT = "You are a helpful assistant."


@pytest.fixture(scope="module")
def material(drawn):
    corpus = open_corpus(drawn)
    found = next(item for item in corpus.materials["train"] if item.footage.video.uri == "film-0.mp4")
    # Requests stay in the dialogue with replies that a random model would not give.
    questions = tuple(row for row in found.questions if not is_standing(row))
    assert questions
    return replace(found, questions=questions)


class Heard:
    """The logits of the last feed."""

    def __call__(self, event):
        if isinstance(event, Fed) and len(event.logits):
            self.logits = event.logits[-1]


class Stream:
    """A session that is shown a video as it runs."""

    def __init__(self, footage):
        settings = replace(BASE, slots=8192, speak_threshold=1.0, max_gap_s=2.0, system_prompt=PROMPT)
        self.session = model_of().session(settings=settings)
        self.footage, self.next = footage, 0
        self.session.observe(ear := Heard())
        self.ear = ear
        self.pictures = read(footage.path, footage.clock, footage.times, decoder="pyav").data

    def until(self, t_ns):
        """All frames up to then; the probabilities of the decisions that were taken about them, by time."""
        taken = {}
        while self.next < len(self.footage.times) and self.footage.times[self.next] <= t_ns:
            self.session.add_frame(self.pictures[self.next], self.footage.times[self.next])
            self.next += 1
            taken |= {turn.t_ns: turn.probabilities for turn in self.session.speak()}
        return taken

    def aside(self, question, t_ns):
        """The logits of the first token of the reply to a question that leaves nothing behind."""
        moment = self.session.snapshot()
        answer = self.session.ask(question, t_ns=t_ns, max_new_tokens=1)
        logits = self.ear.logits.clone()
        answer.close()
        self.session.restore(moment)
        self.session.forget(moment)
        return logits


def learned(example, films, cache):
    """For each thing said, the logits of the row that predicts its first token."""
    frames = Frames(films, frame_format(), decoder="decord", cache=cache)
    shown = Sightings(frames, frame_format(), tower=None, cache=cache).shown(example.grids)
    (batch,) = collate([[replace(example, cuts=())]], shown, how())
    learner = Learner(model_of().backbone.model)
    with torch.no_grad():
        logits = learner.project(learner(batch).hidden)
    first = [int((batch.answer == k).nonzero()[0, 0]) for k in range(len(example.said))]
    return logits[first]


def question_of(material, said):
    """The user's words; a question at the very time of a frame stands right behind it."""
    return next(
        item.question
        for item in instants(material)
        if item.t_ns in (said.t_ns, said.t_ns - 1) and (item.task, item.text) == (said.task, said.text)
    )


@pytest.mark.parametrize("source", ["captions", "frame_events"])
def test_a_question_beside_the_video_is_met_as_in_a_session(material, films, tmp_path, source):
    if source == "captions":
        (example,) = captions(material, AlignConfig(), desk())
        question = "What has just happened?"
    else:
        (example,) = frame_events(material, 1000.0, desk())
        question = "Which events are on?"
    ours = learned(example, films, tmp_path)
    stream = Stream(material.footage)
    for said, logits in zip(example.said, ours, strict=True):
        stream.until(said.t_ns)
        assert torch.allclose(stream.aside(question, said.t_ns), logits, atol=1e-4)


def test_questions_and_decisions_of_a_live_stream_are_those_of_a_session(material, films, tmp_path):
    (example,) = realtime(material, StreamConfig(twins=0.0, idle=1.0), desk())
    ours = learned(example, films, tmp_path)
    stream = Stream(material.footage)
    asked = decided = 0
    taken = {}
    for said, logits in zip(example.said, ours, strict=True):
        taken |= stream.until(said.t_ns)
        if said.asked:
            assert torch.allclose(stream.aside(question_of(material, said), said.t_ns), logits, atol=1e-4)
            asked += 1
        else:
            chances = torch.tensor(taken[said.t_ns - 1])
            assert torch.allclose(chances, logits[list(DECISIONS)].softmax(-1), atol=1e-5)
            decided += 1
    assert asked >= 1
    assert decided == len(material.footage.grids)


def test_the_first_question_of_a_carried_cache_is_met_as_in_a_session(material, films, tmp_path):
    (example,) = incremental(material, StreamConfig(), desk())
    ours = learned(example, films, tmp_path)
    said = example.said[0]
    stream = Stream(material.footage)
    stream.until(said.t_ns)
    assert torch.allclose(stream.aside(question_of(material, said), said.t_ns), ours[0], atol=1e-4)


def test_other_pixels_would_be_noticed(material, films, tmp_path):
    (example,) = frame_events(material, 1000.0, desk())
    ours = learned(example, films, tmp_path)
    stream = Stream(material.footage)
    stream.pictures = stream.pictures[:, ::-1].copy()
    stream.until(example.said[0].t_ns)
    assert not torch.allclose(stream.aside("Which events are on?", example.said[0].t_ns), ours[0], atol=1e-4)
