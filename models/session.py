"""A session: watch one stream, remember, answer, speak."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from models.answer import Answer, AnswerOptions
from models.decode import Sampling, StopRule
from models.dialogue import Round
from models.errors import ClosedError, QuestionError, SettingsError, StreamError, TimeError
from models.intake import Intake
from models.metrics import Meter, Metrics
from models.pairs import Pairer
from models.positions import Cursor
from models.row import Event
from models.settings import StreamingSettings
from models.speaking import STATES, Decider, Turn, TurnState, speak
from models.state import State
from models.talk import Put, ask
from models.track import Arrival
from models.watcher import Watcher
from models.watchers.incremental import Incremental


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """A moment of a session to go back to, as often as wanted; it keeps its slots taken until `Session.forget`."""

    watcher: Watcher
    pairer: Pairer
    cursor: Cursor
    rounds: tuple[Round, ...]
    seam: tuple[int, ...]
    entries: tuple[int, ...]
    undecided: tuple[int, ...]
    reply_next: int
    reply_to: int
    system: int | None
    first_ns: int | None
    last_ns: int | None
    asked_ns: int | None


class Before:
    """What a frame changes when it is taken in, to be undone where memory has no room for it.

    Args:
        intake: takes frames.
        meter: counts.
    """

    def __init__(self, intake: Intake, meter: Meter) -> None:
        self._intake = intake
        self._meter = meter
        self._pairer, self._first_ns, self._last_ns = intake.pairer.copy(), intake.first_ns, intake.last_ns

    def undo(self, arrived: Sequence[Arrival]) -> None:
        """Goes back, as if the frame and the grids that it made had never come."""
        intake = self._intake
        for arrival in arrived:
            if arrival in intake.queue:
                intake.queue.remove(arrival)
                arrival.future.cancel()
        intake.pairer, intake.first_ns, intake.last_ns = self._pairer, self._first_ns, self._last_ns
        self._meter.frames -= 1
        self._meter.chunks -= len(arrived)


class Session:
    """One stream and its dialogue; made by `StreamingModel.session`, closed by `close` or a `with` block.

    Several threads may use it, such as one that adds frames and one that asks, and so may sessions that share a pool:
    each call, each piece of an answer and each turn of `speak` waits for the one before it. Two threads that ask
    interrupt each other's answers.

    Args:
        state: what the session is made of.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._snapshots: list[Snapshot] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def settings(self) -> StreamingSettings:
        """How this session streams."""
        return self._state.settings

    @property
    def history(self) -> tuple[Round, ...]:
        """The rounds that a new question sees, oldest first."""
        return self._state.dialogue.rounds

    def observe(self, call: Callable[[Event], None] | None) -> None:
        """Calls back with every block that is fed from now on, what it saw and its logits; None ends it."""
        self._state.row.observer = call

    def add_frame(self, frame: npt.NDArray[np.uint8], t_ns: int) -> None:
        """Takes the next frame of the stream.

        Two frames make a temporal grid; it is encoded in the background if the settings say so, and enters the cache as
        the mode has it. While an answer is being written, grids are encoded and wait.

        Args:
            frame: uint8 (height, width, 3), RGB; the size stays the same for a session.
            t_ns: presentation time in integer nanoseconds; irregular times are welcome.

        Raises:
            TimeError: time does not rise, or the last question was asked after it.
            FrameError: another size, dtype or layout.
            PoolFullError: memory cannot make room; the frame may come again when there is.
            SettingsError: memory can never hold a frame of this size.
            ClosedError: the session or its model is closed.

            After each of them the session is as it was, and usable. After any other error, such as a device out of
            memory, the frame has been taken: what could not be brought in is brought in with the next call.
        """
        with self._state.row.pool.lock:
            state = self._open()
            first = state.intake.first_ns is None
            before = Before(intake=state.intake, meter=state.meter)
            if first and type(t_ns) is int:
                state.track.begin(t_ns)
            arrived = state.intake.add(frame, t_ns, admit=state.watcher.admit)
            undecided = tuple(state.undecided)
            state.undecided += [arrival.last_ns for arrival in arrived]
            try:
                state.take_in()
            except StreamError:
                before.undo(arrived)
                state.undecided.clear()
                state.undecided += undecided
                raise

    def ask(
        self,
        question: str,
        *,
        t_ns: int | None = None,
        max_new_tokens: int | None = None,
        options: AnswerOptions | None = None,
    ) -> Answer:
        """Asks about what has been seen; returns the answer, which streams as it is iterated.

        The question runs on a branch: it sees the remembered frames, the newest frame and the last rounds of dialogue,
        and no frame ever sees it. An answer that is still being written is interrupted; what was given out of it stays
        in the dialogue.

        Args:
            question: plain text.
            t_ns: when it is asked, not before the newest frame; None is right behind that. A question at the very time
                of a frame has seen it, so it stands 1 ns behind it.
            max_new_tokens: overrides the settings and the options.
            options: how the reply is written; None takes the settings.

        Raises:
            QuestionError: it is empty or no text, or no frame has come yet.
            TimeError: `t_ns` lies before the newest frame, or is no int.
            PoolFullError: question and frames do not fit.
            SettingsError: `max_new_tokens` is less than 1, or `options` are none.
            ClosedError: the session is closed, or its model is while a lone frame is still to be encoded.
        """
        begun = time.perf_counter()
        with self._state.row.pool.lock:
            state = self._open()
            check_question(question)
            if state.intake.last_ns is None:
                raise QuestionError("question: no frame has come yet; call add_frame first")
            asked_ns = state.intake.last_ns if t_ns is None else t_ns
            if type(asked_ns) is not int or asked_ns < state.intake.last_ns:
                raise TimeError(
                    f"question: t_ns is {t_ns!r}, expected an int of at least {state.intake.last_ns}, "
                    "the newest frame's time: an answer must not know frames that come after its question"
                )
            chosen = self._options(max_new_tokens, options)
            state.interrupt()
            asked_ns = max(asked_ns, state.intake.last_ns + 1)
            answer = ask(state, Put(text=question, t_ns=asked_ns, begun=begun, options=chosen))
            state.intake.asked_ns = asked_ns
            return answer

    def speak(self, *, options: AnswerOptions | None = None, take: TurnState | None = None) -> Iterator[Turn]:
        """Decides about each grid since the last call: be silent, stand by or respond; yields every decision.

        A decision sees the frames up to its grid, as far as memory still holds them, and the rounds before it.

        Args:
            options: how replies are written; None takes the settings.
            take: the decision that is taken whatever the model would do, to say again what was said elsewhere; its
                probabilities are told all the same. None: the model's own.

        Raises:
            SettingsError: a decision token of the settings is not one token of the tokenizer, or `take` is no decision.
        """
        with self._state.row.pool.lock:
            state = self._open()
            names = state.settings.decision_tokens
            tokens = (state.prompts.single(names[0]), state.prompts.single(names[1]), state.prompts.single(names[2]))
            if len(set(tokens)) < 3:
                raise SettingsError(f"decision_tokens: found {names}, expected three different tokens")
            if take is not None and take not in STATES:
                raise SettingsError(f"take: found {take!r}, expected one of {', '.join(STATES)}, or None")
            chosen = self._options(None, options)
            state.interrupt()
            return speak(state, Decider(tokens=tokens, threshold=state.settings.speak_threshold, take=take), chosen)

    def snapshot(self) -> Snapshot:
        """Remembers this moment: cache, memory and dialogue. No byte is copied; slots are kept until `forget`."""
        with self._state.row.pool.lock:
            state = self._open()
            state.interrupt()
            state.drain()
            entries = tuple(entry.id for entry in state.row.live())
            state.row.hold(entries)
            moment = Snapshot(
                watcher=state.watcher.save(),
                pairer=state.intake.pairer.copy(),
                cursor=state.track.cursor,
                rounds=state.dialogue.rounds,
                seam=state.dialogue.seam,
                entries=entries,
                undecided=tuple(state.undecided),
                reply_next=state.reply_next,
                reply_to=state.reply_to,
                system=state.track.system,
                first_ns=state.intake.first_ns,
                last_ns=state.intake.last_ns,
                asked_ns=state.intake.asked_ns,
            )
            self._snapshots.append(moment)
            return moment

    def restore(self, moment: Snapshot) -> None:
        """Goes back to a moment; what came after it is forgotten, and its time may come again.

        Raises:
            ClosedError: the moment belongs to another session or was forgotten.
        """
        with self._state.row.pool.lock:
            state = self._open()
            self._check_moment(moment)
            state.interrupt()
            kept = set(moment.entries)
            state.intake.rewind(moment.pairer.copy(), last_ns=moment.last_ns)
            state.intake.first_ns, state.intake.asked_ns = moment.first_ns, moment.asked_ns
            state.row.free([entry.id for entry in state.row.live() if entry.id not in kept])
            state.row.revive(kept)
            state.watcher = moment.watcher.save()
            state.undecided.clear()
            state.undecided += moment.undecided
            state.track.lost.clear()
            state.track.system, state.track.cursor = moment.system, moment.cursor
            state.reply_next, state.reply_to = moment.reply_next, moment.reply_to
            state.dialogue.rounds, state.dialogue.seam = moment.rounds, moment.seam

    def forget(self, moment: Snapshot) -> None:
        """Gives back the slots that only this moment kept."""
        with self._state.row.pool.lock:
            state = self._open()
            self._check_moment(moment)
            self._snapshots.remove(moment)
            state.row.let_go(moment.entries)

    def metrics(self) -> Metrics:
        """Counts, seconds and bytes so far."""
        with self._state.row.pool.lock:
            return measure(self._state)

    def close(self) -> None:
        """Ends the session and gives its row of the pool back; harmless when it is closed."""
        with self._state.row.pool.lock:
            if not self._closed:
                self._state.interrupt()
                self._closed = True
                self._snapshots.clear()
                self._state.undecided.clear()
                self._state.intake.drop()
                self._state.row.close()

    def _open(self) -> State:
        if self._closed:
            raise ClosedError("the session is closed; open another with model.session()")
        return self._state

    def _check_moment(self, moment: Snapshot) -> None:
        if moment not in self._snapshots:
            raise ClosedError("the snapshot belongs to another session or was forgotten; take another with snapshot()")

    def _options(self, max_new_tokens: int | None, options: AnswerOptions | None) -> AnswerOptions:
        """The options, with the settings where they leave something open."""
        if options is not None and not isinstance(options, AnswerOptions):
            raise SettingsError(f"options: found {options!r}, expected AnswerOptions")
        if max_new_tokens is not None and (type(max_new_tokens) is not int or max_new_tokens < 1):
            raise SettingsError(f"max_new_tokens: found {max_new_tokens!r}, expected an integer of at least 1")
        given, settings = options or AnswerOptions(), self._state.settings
        sampling = given.sampling or Sampling(
            temperature=settings.temperature,
            top_k=settings.top_k_sampling,
            top_p=settings.top_p,
            repetition_penalty=settings.repetition_penalty,
            seed=settings.seed,
        )
        stop = given.stop or StopRule(max_new_tokens=settings.max_new_tokens)
        stop = stop if max_new_tokens is None else replace(stop, max_new_tokens=max_new_tokens)
        return replace(given, sampling=sampling, stop=stop)


def check_question(question: str) -> None:
    """Refuses what is no text. Raises QuestionError."""
    if not isinstance(question, str) or not question.strip():
        raise QuestionError(f"question: found {question!r}, expected text; nothing was asked")
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise QuestionError(
            f"question: found a lone surrogate at character {error.start} of {question!r}, which is no text; "
            "decode its bytes again; nothing was asked"
        ) from error


def measure(state: State) -> Metrics:
    """A session's counts, seconds and bytes."""
    meter, pool, watcher = state.meter, state.row.pool, state.watcher
    vision = state.intake.encoder.stats()
    away = watcher.offloaded if isinstance(watcher, Incremental) else {}
    return Metrics(
        frames=meter.frames,
        chunks=meter.chunks,
        chunks_pending=len(state.intake.queue),
        vision_encoded=vision.encoded,
        vision_exact_hits=vision.exact_hits,
        vision_similar_hits=vision.similar_hits,
        vision_failed=vision.failed,
        vision_s=vision.seconds,
        vision_wait_s=meter.seconds["vision_wait"],
        prefill_s=meter.seconds["prefill"],
        decode_s=meter.seconds["decode"],
        prefill_tokens=meter.prefill_tokens,
        decode_tokens=meter.decode_tokens,
        questions=meter.questions,
        turns=meter.turns,
        responses=meter.responses,
        evicted=meter.evicted,
        offloaded=len(away),
        dropped=meter.dropped,
        slots_used=state.row.used,
        slots=pool.slots,
        pool_bytes=pool.nbytes,
        host_bytes=sum(kept.nbytes for kept in away.values()),
        memory_bytes=watcher.memory_bytes(),
        feature_bytes=watcher.feature_bytes(),
        rebases=meter.rebases,
        bytes_moved=pool.bytes_moved,
    )
