"""Settings of the losses: which are on, how much each weighs, and from which step."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from datasets_build.core.config import Config
from recipes.errors import RecipeError
from recipes.losses.consistency import ramp
from recipes.losses.deadline import Profile
from recipes.losses.decisions import Balance, FocalForm

NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Step = Annotated[int, Field(ge=0)]

TermName = Literal[
    "answer",
    "decision",
    "consistency.decisions",
    "consistency.tokens",
    "consistency.features",
    "consistency.calm",
    "latency.survival",
    "latency.delay",
    "latency.length",
    "interaction",
]


class Ramp(Config):
    """Steps over which a weight grows from nothing to its own: 0 up to `begin`, whole from `end` on."""

    begin: Step = 0
    end: Step = 0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end < self.begin:
            raise ValueError(f"end {self.end} lies before begin {self.begin}")
        return self

    def at(self, step: int) -> float:
        """Returns the share in [0, 1] at an optimizer step."""
        return 0.0 if step < self.begin else ramp(step - self.begin, self.end - self.begin)


class LossTerm(Config):
    """A loss that counts `weight` times once its ramp is over; of weight 0 it is not computed."""

    weight: NotNegative = 1.0
    ramp: Ramp = Ramp()

    def scale(self, step: int) -> float:
        """Returns what the loss is multiplied with at an optimizer step."""
        return self.weight * self.ramp.at(step)


class AnswerLoss(LossTerm):
    """Cross entropy of supervised text; `chunk` rows of logits exist at a time."""

    chunk: Annotated[int, Field(ge=1)] = 1024


class DecisionLoss(LossTerm):
    """Loss of the labelled decision, balanced by how often each state stands in the whole dataset.

    `effective_beta` belongs to balance `effective`; `gamma` and `form` to kind `focal`.
    """

    kind: Literal["ce", "focal"] = "ce"
    balance: Balance = "inverse"
    effective_beta: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    gamma: NotNegative = 2.0
    form: FocalForm = "softmax"


class ConsistencyLoss(Config):
    """Temporal consistency: four weights, of which `features` and `calm` are opt-in, behind one ramp.

    `lam` is the share of a target that lies over a second ahead, `tau` the change of picture that shuts a gate.
    `smoothing` belongs to the label at a segment's end; None takes no label.
    """

    decisions: NotNegative = 0.5
    tokens: NotNegative = 0.25
    features: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    calm: NotNegative = 0.0
    lam: Share = 0.7
    tau: NotNegative = 0.1
    smoothing: Share | None = 0.1
    ramp: Ramp = Ramp(end=500)


class LatencyLoss(Config):
    """What delay costs, in one of three forms; the ramp is that of the price, not of the likelihood it stands in.

    weighted: `alpha`, `beta`, `tau_s` and `scale_s` change the weights of the decision loss.
    survival: a term of weight `weight` with tilt `lam`, and `delay` times the expected delay with `rho` for its
    variance.
    compute: `gain` changes the weights of answers past their deadline by the measured `context`, `first_s` and
    `token_s`, and `length` weighs the prior on short answers.
    """

    form: Literal["none", "weighted", "survival", "compute"] = "none"
    weight: NotNegative = 1.0
    alpha: NotNegative = 1.0
    beta: NotNegative = 1.0
    tau_s: Positive = 2.0
    scale_s: Positive = 1.0
    lam: NotNegative = 0.1
    delay: NotNegative = 0.0
    rho: NotNegative = 0.1
    gain: NotNegative = 1.0
    length: NotNegative = 0.0
    context: tuple[int, ...] = ()
    first_s: tuple[float, ...] = ()
    token_s: tuple[float, ...] = ()
    ramp: Ramp = Ramp()

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if self.form == "compute" and not self.context:
            raise ValueError("form compute needs a measured profile: context, first_s and token_s")
        if self.context or self.first_s or self.token_s:
            try:
                self.profile()
            except RecipeError as error:
                # pydantic adds the setting's full path to a ValueError, and to no other.
                raise ValueError(str(error)) from error
        return self

    def profile(self) -> Profile:
        """Returns the measured profile.

        Raises:
            RecipeError: none was given, or its lists do not fit.
        """
        return Profile(context=self.context, first_s=self.first_s, token_s=self.token_s)

    def at(self, step: int) -> Self:
        """Returns these settings with every price of delay at its share of an optimizer step."""
        share = self.ramp.at(step)
        prices = {
            "alpha": self.alpha * share,
            "beta": self.beta * share,
            "lam": self.lam * share,
            "delay": self.delay * share,
            "gain": self.gain * share,
            "length": self.length * share,
        }
        return self.model_copy(update=prices)


class InteractionLoss(LossTerm):
    """Preference between traces; opt-in. See `interaction_loss` for beta, eta and mu, `trace_scores` for nu.

    Pairs that differ in timing alone are judged by their decisions, whatever nu is.
    """

    weight: NotNegative = 0.0
    beta: Positive = 2.0
    eta: NotNegative = 0.5
    mu: NotNegative = 0.2
    nu: NotNegative = 1.0


class Losses(Config):
    """All losses of a stage."""

    answer: AnswerLoss = AnswerLoss()
    decision: DecisionLoss = DecisionLoss()
    consistency: ConsistencyLoss = ConsistencyLoss()
    latency: LatencyLoss = LatencyLoss()
    interaction: InteractionLoss = InteractionLoss()

    def scales(self, step: int) -> dict[TermName, float]:
        """Returns what each term is multiplied with at an optimizer step; 0 for one that is not to be computed."""
        warm = self.consistency.ramp.at(step)
        latency = self.latency.at(step)
        survival = latency.weight if latency.form == "survival" else 0.0
        return {
            "answer": self.answer.scale(step),
            "decision": self.decision.scale(step),
            "consistency.decisions": self.consistency.decisions * warm,
            "consistency.tokens": self.consistency.tokens * warm,
            "consistency.features": self.consistency.features * warm,
            "consistency.calm": self.consistency.calm * warm,
            "latency.survival": survival,
            "latency.delay": survival * latency.delay,
            "latency.length": latency.weight * latency.length if latency.form == "compute" else 0.0,
            "interaction": self.interaction.scale(step),
        }
