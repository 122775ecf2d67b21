"""What a conversation is worth as a whole: answers that come soon, less what should not have been said."""

from __future__ import annotations

from dataclasses import dataclass

from datasets_build.core.clock import NS_PER_S
from recipes.evaluation.answers import judge_due, normal
from recipes.evaluation.decisions import first_chance
from recipes.evaluation.matching import Matched
from recipes.losses.interaction import Outcome, Prices, utility

# So much of the rest of an answer that was broken off makes it the same answer.
LEAST_RESUMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Of one or more conversations.

    Attributes:
        utility: as in `recipes.losses.interaction.utility`.
        due: how many things were due, without answers that were cut too short to be judged: the most that it can be.
        barges, stopped: how often the user broke into an answer, and how often the model let go of it then.
    """

    utility: float = 0.0
    due: int = 0
    barges: int = 0
    stopped: int = 0

    def __add__(self, other: Worth) -> Worth:
        return Worth(
            utility=self.utility + other.utility,
            due=self.due + other.due,
            barges=self.barges + other.barges,
            stopped=self.stopped + other.stopped,
        )

    @property
    def score(self) -> float:
        """Utility for each thing due: 1 is everything right and at once, and there is no least."""
        return self.utility / self.due if self.due else 0.0


def worth(matched: Matched, prices: Prices) -> Worth:
    """What one conversation is worth.

    Each thing that was said in time earns its quality, less by its delay from the first chance to say it; what answers
    to nothing, repeats, or comes late after an interruption costs.

    Args:
        matched: the conversation.
        prices: what errors cost, and how fast an answer loses its worth.
    """
    grids = [decision.t_ns for decision in matched.talk.decisions]
    qualities, delays, left_out = [], [], 0
    for outcome in matched.outcomes:
        speech = matched.speech_of(outcome)
        if speech is not None and outcome.fate == "hit":
            mark = judge_due(matched.script, speech.text, outcome.due, video_id="", cut=speech.cut)
            left_out += mark.left_out
            qualities.append(float(mark.right))
            delays.append(max(0, speech.t_ns - first_chance(outcome.due, grids)) / NS_PER_S)
    barged = {turn for turn, _ in matched.script.barges}
    late = sum(outcome.fate == "late" and outcome.due.heard in barged for outcome in matched.outcomes)
    resumed = sum(_resumes(matched, turn, whole) for turn, whole in matched.script.barges)
    # What came early answers to something, but not yet.
    false = len(matched.false) + sum(outcome.fate == "early" for outcome in matched.outcomes)
    repeats = len(set(matched.duplicates) - set(matched.false))
    result = Outcome(
        quality=tuple(qualities), delay_s=tuple(delays), false=false, duplicate=repeats, late=late + resumed
    )
    return Worth(
        utility=utility(result, prices),
        due=len(matched.outcomes) - left_out,
        barges=len(matched.script.barges),
        stopped=len(matched.script.barges) - resumed,
    )


def _resumes(matched: Matched, turn: int, whole: str) -> bool:
    """Whether something said from the interruption on goes on with the answer that was broken off, or repeats it."""
    since = matched.script.heard[turn].t_ns
    broken = [
        speech.text for speech in matched.talk.speeches if speech.cut and speech.t_ns < since and speech.text.strip()
    ]
    for speech in matched.talk.speeches:
        said = normal(speech.text)
        if speech.t_ns < since or len(said) < LEAST_RESUMED:
            continue
        if said in normal(whole) or any(said.startswith(normal(text)) for text in broken if len(text) >= LEAST_RESUMED):
            return True
    return False
