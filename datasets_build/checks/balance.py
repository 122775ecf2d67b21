"""Balance: no state, no part of a video, no option and no kind of question has nearly all there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import Field

from datasets_build.checks.figures import Figure, Least, Share, judged
from datasets_build.checks.text_leaks import early_words
from datasets_build.core.config import Config
from datasets_build.core.records import Dialogue, StreamingQA, Video
from datasets_build.core.tenths import BINS, bin_of, first_reply
from datasets_build.core.views import NATIVE

_ABOUT = {
    "balance_silence": "on no coarse grid an assistant is nearly always silent",
    "balance_silent_dialogues": "few dialogues have no reply at all",
    "balance_first_reply": "first replies are spread over the dialogue",
    "balance_asked": "questions are spread over the video",
    "balance_unanswerable": "no more questions are unanswerable than answerable",
    "balance_option": "right options are spread over their places",
    "answer_in_earlier_turn": "what was said before a question seldom holds the words of its answer",
}


class BalanceConfig(Config):
    """The largest shares that a balanced dataset has.

    `silence`: of the steps of a grid with a rate; `silent_dialogues`: of dialogues; `first_reply`, `asked`: of the
    fullest tenth of dialogues and videos; `unanswerable`: of questions; `option_margin`: of the fullest place above an
    even share; `early_words`: of answers whose words were said before what they tell of began.
    """

    silence: float = Field(default=0.98, gt=0, le=1)
    silent_dialogues: float = Field(default=0.3, ge=0, le=1)
    first_reply: float = Field(default=0.7, gt=0, le=1)
    asked: float = Field(default=0.4, gt=0, le=1)
    unanswerable: float = Field(default=0.5, ge=0, le=1)
    option_margin: float = Field(default=0.15, gt=0, le=1)
    early_words: float = Field(default=0.1, ge=0, le=1)
    least_items: int = Field(default=30, ge=1)
    least_groups: int = Field(default=5, ge=2)


class _Places:
    """How many items of each group stand in each place."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()
        self.even = 0.0

    def add(self, group: str, place: int, even: float) -> None:
        self._counts[group, place] += 1
        self.even += even

    def fullest(self) -> tuple[int, Share]:
        """The place with the most items, and its share."""
        sums: Counter[int] = Counter()
        for (_, place), number in self._counts.items():
            sums[place] += number
        best = min(sums, key=lambda place: (-sums[place], place), default=0)
        share = Share()
        for (group, place), number in sorted(self._counts.items()):
            share.add(group, number * (place == best), number)
        return best, share


class Balance:
    """Counts while records are walked over; memory holds a few numbers for each group of videos."""

    def __init__(self, config: BalanceConfig) -> None:
        self._config = config
        self._silence: dict[str, Share] = {}
        self._shares: dict[str, Share] = {}
        self._places: dict[str, _Places] = {}

    def _share(self, name: str) -> Share:
        return self._shares.setdefault(name, Share())

    def _place(self, name: str) -> _Places:
        return self._places.setdefault(name, _Places())

    def question(self, row: StreamingQA, video: Video) -> None:
        """Count a question."""
        self._share("balance_unanswerable").add(video.group, float(row.unanswerable))
        self._place("balance_asked").add(video.group, bin_of(row.ask_ns, 0, video.duration_ns), 1 / BINS)
        if row.options and row.correct_option is not None:
            self._place("balance_option").add(video.group, row.correct_option, 1 / len(row.options))

    def dialogue(self, row: Dialogue, video: Video) -> None:
        """Count a dialogue, its steps and its replies."""
        first = first_reply(row)
        self._share("balance_silent_dialogues").add(video.group, float(first is None))
        if first is not None:
            self._place("balance_first_reply").add(video.group, first, 1 / BINS)
        for track in row.decisions:
            if track.grid != NATIVE:
                steps = Counter[str]()
                for run in track.runs:
                    steps[run.state] += run.steps
                share = self._silence.setdefault(track.grid, Share())
                share.add(video.group, float(steps["silence"]), steps.total())
        for early in early_words(row):
            self._share("answer_in_earlier_turn").add(video.group, float(early))

    def figures(self) -> Iterator[tuple[Figure, str]]:
        """Every share with its law's words."""
        c = self._config
        least = Least(items=c.least_items, groups=c.least_groups)
        for grid, share in sorted(self._silence.items()):
            yield (
                judged("balance_silence", f"dialogue, grid {grid}", share, chance=0, limit=c.silence, least=least),
                (_ABOUT["balance_silence"]),
            )
        limits = {
            "balance_unanswerable": ("streaming_qa", c.unanswerable),
            "balance_silent_dialogues": ("dialogue", c.silent_dialogues),
            "answer_in_earlier_turn": ("dialogue", c.early_words),
            "balance_first_reply": ("dialogue", c.first_reply),
            "balance_asked": ("streaming_qa", c.asked),
            "balance_option": ("streaming_qa", c.option_margin),
        }
        for name, (of, limit) in limits.items():
            if name in self._shares:
                yield judged(name, of, self._shares[name], chance=0, limit=limit, least=least), _ABOUT[name]
            elif name in self._places:
                place, share = self._places[name].fullest()
                even = self._places[name].even / max(1, share.n)
                most = even + limit if name == "balance_option" else limit
                where = f"{of}, option {place}" if name == "balance_option" else f"{of}, tenth {place}"
                # Of dialogues there is one a video.
                few = least.model_copy(update={"items": min(c.least_items, 20)})
                yield judged(name, where, share, chance=even, limit=most, least=few), _ABOUT[name]
