"""Streams a clip into sessions of a packaged model as if it were live, and writes down what it says and decides.

Nothing is forced on the model, and no frame is given before its time. Questions are asked aside in one session: each
sees the frames up to its time and nothing that was said. Each standing question branches off that session, which goes
back afterwards, so that it is as if in a session of its own; a dialogue has one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from datasets_build.core.clock import NS_PER_S
from models.answer import Answer, AnswerOptions
from models.decode import StopRule
from models.errors import PoolFullError
from models.row import Event, Fed
from models.session import Session
from models.settings import StreamingSettings
from models.speaking import STATES
from models.streaming import StreamingModel
from recipes.data.example import State
from recipes.errors import RecipeError
from recipes.evaluation.clip import Clip, Picture, Pictures
from recipes.evaluation.script import Ask, Heard, Script
from recipes.evaluation.trace import Decision, Reply, Speech, Talk, Trace
from recipes.settings import RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How clips are replayed.

    Attributes:
        settings: of every session.
        max_new_tokens: tokens of an answer, at most.
        chars_per_s: how fast the model speaks; a user who breaks in hears so much of a reply.
        events_question: asked after each grid; empty: not asked.
    """

    settings: StreamingSettings
    max_new_tokens: int
    chars_per_s: int = 20
    events_question: str = ""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.chars_per_s < 1:
            raise RecipeError(
                f"how to replay: found max_new_tokens {self.max_new_tokens} and chars_per_s {self.chars_per_s}, "
                "expected 1 or more of each"
            )

    @property
    def options(self) -> AnswerOptions:
        """Of every answer."""
        return AnswerOptions(stop=StopRule(max_new_tokens=self.max_new_tokens))


def how_to_replay(package: StreamingSettings, config: RunConfig, *, events_question: str) -> How:
    """The package's own settings, with those of the run that say how it is served, what it is shown and scored on."""
    serve, data = config.serve, config.data
    settings = replace(
        package,
        memory=serve.memory,
        window_s=serve.window_s,
        slots=serve.slots,
        history_rounds=serve.history_rounds,
        max_gap_s=data.max_gap_s,
        min_pixels=data.min_pixels if data.min_pixels is not None else package.min_pixels,
        max_pixels=data.max_pixels if data.max_pixels is not None else package.max_pixels,
        speak_threshold=package.speak_threshold if config.evaluate.threshold is None else config.evaluate.threshold,
        # What is said must not depend on which of two threads was first.
        background=False,
    )
    return How(settings=settings, max_new_tokens=config.evaluate.max_new_tokens, events_question=events_question)


class Ear:
    """Keeps the logits that tokens are chosen from, newest last."""

    def __init__(self) -> None:
        self._rows: list[Tensor] = []

    def __call__(self, event: Event) -> None:
        """Takes what a session tells of."""
        if isinstance(event, Fed) and len(event.logits):
            self._rows.append(event.logits[-1])

    def clear(self) -> None:
        """Forgets."""
        self._rows.clear()

    def confidence(self, tokens: tuple[int, ...]) -> float:
        """Mean probability of the newest tokens, when each was chosen; 1 for none."""
        rows = self._rows[len(self._rows) - len(tokens) :]
        if not tokens or len(rows) < len(tokens):
            return 1.0
        chances = [float(row.softmax(-1)[token]) for row, token in zip(rows, tokens, strict=True)]
        return min(1.0, sum(chances) / len(chances))


class Replay:
    """Replays clips through one model.

    Args:
        model: the packaged model.
        how: settings.
    """

    def __init__(self, model: StreamingModel, how: How) -> None:
        self._model = model
        self._how = how
        names = how.settings.decision_tokens
        ids = [model.prompts.single(name) for name in names]
        self._states: dict[int, State] = dict(zip(ids, STATES, strict=True))

    def trace(self, clip: Clip, pictures: Pictures) -> Trace:
        """Replays a clip.

        Args:
            clip: what is asked about it.
            pictures: its frames, or what stands in for them.

        Raises:
            StreamError: what a session refuses.
            VideoError: a frame cannot be decoded.
        """
        replies: list[Reply] = []
        on: list[Reply] = []
        talks: dict[str, Talk] = {}
        asks, grids = deque(clip.asks), set(clip.grids_ns)
        scripts = deque(sorted(_side_by_side(clip), key=lambda script: script.heard[0].t_ns))
        session, ear = self._open()
        with session:
            for place, (picture, t_ns) in enumerate(pictures.since()):
                replies += self._ask_before(session, ear, asks, t_ns)
                while scripts and scripts[0].heard[0].t_ns < t_ns:
                    talks.update(self._branch(session, ear, scripts.popleft(), pictures.since(place)))
                session.add_frame(picture, t_ns)
                if self._how.events_question and clip.on and t_ns in grids:
                    on += self._ask_all(session, ear, [_events_ask(self._how.events_question, t_ns)])
            replies += self._ask_before(session, ear, asks, None)
            for script in scripts:
                talks.update(self._branch(session, ear, script, iter(())))
        for script in clip.scripts:
            if script.key not in talks:
                talks[script.key] = self._apart(script, pictures)
        return Trace(
            video_id=clip.video_id,
            variant=pictures.variant,
            replies=tuple(replies),
            on=tuple(on),
            talks=tuple(talks[script.key] for script in clip.scripts),
        )

    def _open(self, system: str = "") -> tuple[Session, Ear]:
        settings = replace(self._how.settings, system_prompt=system) if system else self._how.settings
        session, ear = self._model.session(settings), Ear()
        session.observe(ear)
        return session, ear

    def _branch(
        self, session: Session, ear: Ear, script: Script, pictures: Iterator[tuple[Picture, int]]
    ) -> dict[str, Talk]:
        """A conversation that begins now, as if in a session of its own; the video before it is not fed again.

        Nothing where both do not fit into the cache: it takes a session of its own then.
        """
        moment = session.snapshot()
        try:
            return {script.key: self._talk(session, ear, script, pictures)}
        except PoolFullError:
            return {}
        finally:
            session.restore(moment)
            session.forget(moment)

    def _apart(self, script: Script, pictures: Pictures) -> Talk:
        session, ear = self._open(script.system)
        with session:
            return self._talk(session, ear, script, pictures.since())

    def _talk(self, session: Session, ear: Ear, script: Script, pictures: Iterator[tuple[Picture, int]]) -> Talk:
        talk = Conversation(session, ear, script, how=self._how, state_of=self._states.get)
        # Of grids that came before the conversation.
        talk.decide()
        for picture, t_ns in pictures:
            talk.hear_before(t_ns)
            session.add_frame(picture, t_ns)
            talk.decide()
        talk.hear_before(None)
        return Talk(key=script.key, decisions=tuple(talk.decisions), speeches=tuple(talk.speeches))

    def _ask_before(self, session: Session, ear: Ear, asks: deque[Ask], t_ns: int | None) -> list[Reply]:
        """Asks what is asked before the next frame comes; None: no other comes."""
        now = []
        while asks and (t_ns is None or asks[0].t_ns < t_ns):
            now.append(asks.popleft())
        return self._ask_all(session, ear, now)

    def _ask_all(self, session: Session, ear: Ear, asks: list[Ask]) -> list[Reply]:
        """Asks questions at one moment of the video, none of which knows of another."""
        if not asks:
            return []
        moment = session.snapshot()
        replies = []
        for ask in asks:
            ear.clear()
            answer = session.ask(ask.question, t_ns=ask.t_ns, options=self._how.options).run()
            tokens = answer.token_ids
            replies.append(
                Reply(
                    key=ask.key,
                    t_ns=ask.t_ns,
                    text=answer.text,
                    state=self._states.get(tokens[0]) if tokens else None,
                    confidence=ear.confidence(tokens),
                )
            )
            session.restore(moment)
        session.forget(moment)
        return replies


def _side_by_side(clip: Clip) -> list[Script]:
    """The scripts that need nothing but the frames before them: those without a system turn of their own."""
    return [script for script in clip.scripts if script.heard and not script.system]


def _events_ask(question: str, t_ns: int) -> Ask:
    return Ask(key=str(t_ns), task="events", mode="realtime", t_ns=t_ns, question=question, expected="")


class Conversation:
    """A conversation that goes on: users say what the script has, the model decides after every grid.

    Args:
        session: of its own.
        ear: hears its logits.
        script: what users say.
        how: settings.
        state_of: the decision that a token stands for.
    """

    def __init__(
        self, session: Session, ear: Ear, script: Script, *, how: How, state_of: Callable[[int], State | None]
    ) -> None:
        self._session = session
        self._ear = ear
        self._heard = script.heard
        self._standing = script.kind == "standing"
        self._next = 0
        self._how = how
        self._state_of = state_of
        self.decisions: list[Decision] = []
        self.speeches: list[Speech] = []

    def hear_before(self, t_ns: int | None) -> None:
        """Puts the user's turns that are over before a time; None: all."""
        while self._next < len(self._heard) and (t_ns is None or self._heard[self._next].t_ns < t_ns):
            turn, self._next = self._heard[self._next], self._next + 1
            self._ear.clear()
            answer = self._session.ask(turn.text, t_ns=turn.t_ns, options=self._how.options)
            self._write(answer, t_ns=turn.t_ns, heard=self._next - 1)

    def decide(self) -> None:
        """Lets the model decide about the grids that have come in.

        Before a standing question is asked there is nothing to decide for it: each of them would count the same grids.
        """
        if self._standing and not self._next:
            list(self._session.speak(take="silence"))
            return
        turns = self._turns()
        for turn_ns, state, chances, answer in turns:
            self.decisions.append(Decision(t_ns=turn_ns, state=state, chances=chances))
            if answer is not None:
                self._write(answer, t_ns=turn_ns, heard=-1)

    def _turns(self) -> Iterator[tuple[int, State, tuple[float, float, float], Answer | None]]:
        self._ear.clear()
        for turn in self._session.speak(options=self._how.options):
            yield turn.t_ns, turn.state, turn.probabilities, turn.answer
            self._ear.clear()

    def _write(self, answer: Answer, *, t_ns: int, heard: int) -> None:
        """Writes a reply as far as it can be spoken before the user breaks in."""
        most = self._speakable(t_ns)
        said = 0
        while most is None or said < most:
            piece = next(answer, None)
            if piece is None:
                break
            said += len(piece)
        cut = answer.stats.stopped_by == ""
        answer.close()
        tokens = answer.token_ids
        self.speeches.append(
            Speech(
                t_ns=t_ns,
                end_ns=t_ns + len(answer.text) * NS_PER_S // self._how.chars_per_s,
                text=answer.text,
                state=self._state_of(tokens[0]) if tokens and heard >= 0 else None,
                heard=heard,
                tokens=len(tokens),
                confidence=self._ear.confidence(tokens),
                cut=cut,
            )
        )

    def _speakable(self, t_ns: int) -> int | None:
        """How many characters are out before the user's next turn; None where there is none to come."""
        if self._next >= len(self._heard):
            return None
        turn: Heard = self._heard[self._next]
        # A reply that begins while the user speaks is heard until what the user says is whole.
        until_ns = turn.begins_ns if turn.begins_ns > t_ns else turn.t_ns
        return max(0, until_ns - t_ns) * self._how.chars_per_s // NS_PER_S
