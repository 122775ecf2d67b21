"""All streaming questions of an augmented video, with their test points, twins, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from augment.answers import CannotAskError, Scene
from augment.arrival import Arrival
from augment.questions import ask_again
from augment.unanswerable import ask_in_vain
from datasets_build.core.records import Probe, Record, StreamingQA

Gone = Literal["drop", "unanswerable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Asks the questions of the sources again.

    Attributes:
        arrival: what is shown, and when people are heard.
        scene: the augmented video.
        gone: what becomes of questions whose evidence is.
        leave: told of each question that is left out, with a code and a reason.
        made: what the questions of a source became, by their id and the piece.
        twins: made together with a question.
    """

    arrival: Arrival
    scene: Scene
    gone: Gone
    leave: Callable[[Record, str, str], None]
    made: dict[tuple[str, int], StreamingQA] = field(default_factory=dict)
    twins: list[StreamingQA] = field(default_factory=list)

    def ask(self, source: str, rows: Sequence[StreamingQA]) -> Iterator[StreamingQA]:
        """The questions of a source; twins stay where both do."""
        for row in rows:
            places = self.arrival.instants(source, row.ask_ns)
            if not places:
                self.leave(row, "not_shown", "it is asked where nothing is shown")
            for piece, at in places:
                try:
                    self.made[row.id, piece] = self._asked(row, at, piece)
                except CannotAskError as error:
                    self.leave(row, "not_true", str(error))
        yield from self._twinned(rows)
        yield from self.twins

    def _asked(self, row: StreamingQA, at_ns: int, piece: int) -> StreamingQA:
        try:
            return ask_again(row, at_ns, self.scene, points=self._points(row, piece))
        except CannotAskError:
            if self.gone == "drop" or row.about is None or self.scene.grounds.of(row.about):
                raise
        refused, twin = ask_in_vain(row, at_ns, self.scene)
        self.twins.append(twin)
        return refused

    def _points(self, row: StreamingQA, piece: int) -> list[tuple[int, Probe]]:
        """The test points that a piece shows, each with when."""
        places = ((dict(self.arrival.instants(row.video_id, probe.t_ns)), probe) for probe in row.test_points)
        return [(found[piece], probe) for found, probe in places if piece in found]

    def _twinned(self, rows: Sequence[StreamingQA]) -> Iterator[StreamingQA]:
        """A twin that has lost the other goes on alone, if it can be answered."""
        by_id = {row.id: row for row in rows}
        own = {twin.id for twin in self.twins}
        for (parent, piece), row in self.made.items():
            if row.twin_id in own:
                yield row
                continue
            twin = by_id[parent].twin_id
            other = self.made.get((twin, piece)) if twin else None
            # One that was made to be asked in vain has a twin of its own.
            other = None if other is not None and other.twin_id in own else other
            if other is None and row.unanswerable:
                self.leave(by_id[parent], "alone", "its answerable twin is left out")
                continue
            yield row.model_copy(update={"twin_id": other.id}) if other else row
