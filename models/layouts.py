"""Layouts as values of two policies: where positions go, and who may see whom.

Six of them are those of 'Speak While Watching' (paper: arXiv 2601.06843; released code:
github.com/EIT-NLP/Speak-While-Watching), `overlap_shared` is a reading of one of their names, `branch` is what a
session serves unless told otherwise. What each one means, with a picture of its mask, and where the released code does
something else, is in docs/layouts.md.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from models.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRule:
    """Where position ids go. What the model says is replies and decisions; everything else is its input.

    Attributes:
        reply: `continue`: one count runs through the whole sequence. `restart`: what the model says has a count of its
            own that begins at `offset`. `shared`: each reply begins at the temporal position at which the newest frames
            block that had arrived by then begins; more replies to the same frames go on from one another.
        offset: phi, the first position of what the model says under `restart`; 0 elsewhere.
        clock: `segment`: time counts from the start of the open vision segment, as the models were trained. `stream`:
            every grid starts anew and its temporal position runs ahead by the time since the first grid.
        beside: True: text that came after the first frames has a line of positions of its own. It goes on behind all
            that has come, and frames go on as if it were not there, so that a question leaves the video's cache as it
            is. Only with `continue` and `segment`.
    """

    reply: Literal["continue", "restart", "shared"]
    offset: int = 0
    clock: Literal["segment", "stream"] = "segment"
    beside: bool = False

    def __post_init__(self) -> None:
        if self.reply not in ("continue", "restart", "shared"):
            raise SettingsError(f"PositionRule: reply is {self.reply!r}; expected continue, restart or shared")
        if self.clock not in ("segment", "stream"):
            raise SettingsError(f"PositionRule: clock is {self.clock!r}; expected segment or stream")
        if self.offset < 0 or (self.offset and self.reply != "restart"):
            raise SettingsError(
                f"PositionRule: offset is {self.offset} with reply {self.reply!r}; "
                "expected 0 or more, and other than 0 only with restart"
            )
        if self.beside and (self.reply != "continue" or self.clock != "segment"):
            raise SettingsError(
                f"PositionRule: beside with reply {self.reply!r} and clock {self.clock!r}; text beside the video goes "
                "on behind all that has come, and the video as if there were no text: use reply continue and clock "
                "segment, or leave beside out"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibilityRule:
    """Who may see whom. Nobody sees what stands later in the sequence; a block always sees itself causally.

    Attributes:
        order: The sequence. `time`: as the blocks arrived. `frames_first`: all input as it arrived, then all that the
            model says as it was said.
        frames_see_text: True: input sees everything before it. False: frames are independent of the dialogue; what else
            input sees is in `queries_see`.
        replies_see: The input that a reply sees: `past`: what had arrived when the reply began. `all`: all of it.
        queries_see: What a query sees where frames are independent. `input`: no input sees what the model says, and
            frames see of the queries only those that came before all frames. `all`: frames see no text that came after
            the first frames; everything else sees all before it, as in a dialogue.
        predicting_row: True: the last token of a reply sees what the next reply sees, because its row predicts that
            reply's first token; it becomes a block of its own.
    """

    order: Literal["frames_first", "time"]
    frames_see_text: bool
    replies_see: Literal["past", "all"]
    queries_see: Literal["input", "all"] = "input"
    predicting_row: bool = False

    def __post_init__(self) -> None:
        if self.order not in ("frames_first", "time"):
            raise SettingsError(f"VisibilityRule: order is {self.order!r}; expected frames_first or time")
        if self.replies_see not in ("past", "all"):
            raise SettingsError(f"VisibilityRule: replies_see is {self.replies_see!r}; expected past or all")
        if self.queries_see not in ("input", "all"):
            raise SettingsError(f"VisibilityRule: queries_see is {self.queries_see!r}; expected input or all")
        if self.order == "time" and (self.replies_see == "all" or self.predicting_row):
            raise SettingsError(
                f"VisibilityRule: order time with replies_see {self.replies_see!r} and predicting_row "
                f"{self.predicting_row}; in time order a reply sees the past, and the row before it is its predictor: "
                "use replies_see past and predicting_row False, or order frames_first"
            )
        if self.queries_see == "all" and (self.order != "time" or self.frames_see_text):
            raise SettingsError(
                f"VisibilityRule: queries_see all with order {self.order} and frames_see_text {self.frames_see_text}; "
                "it tells queries from frames in a sequence that holds what was said before them: use order time and "
                "frames_see_text False, or queries_see input"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A name and the two policies it stands for; text beside the video must be out of the frames' sight."""

    name: str
    positions: PositionRule
    visibility: VisibilityRule

    @property
    def in_line(self) -> bool:
        """Whether questions and replies stand in the video's own line, where frames see them and go on behind them."""
        return self.visibility.order == "time" and self.visibility.frames_see_text

    @property
    def retold(self) -> bool:
        """Whether input that comes moves or shows itself to what was said before it, which is then fed anew."""
        behind_all = self.positions.reply == "continue"
        return self.visibility.order == "frames_first" and (behind_all or self.visibility.replies_see == "all")

    def __post_init__(self) -> None:
        if self.positions.beside and self.visibility.queries_see != "all":
            raise SettingsError(
                f"layout {self.name}: its text has positions beside the video, which its frames take too, but "
                f"queries_see is {self.visibility.queries_see}; use queries_see all, with which frames never see that "
                "text, or leave beside out"
            )


_WHOLE_VIDEO = VisibilityRule(order="frames_first", frames_see_text=True, replies_see="all")
_GROUPS = VisibilityRule(order="frames_first", frames_see_text=False, replies_see="past", predicting_row=True)
_BRANCHES = VisibilityRule(order="time", frames_see_text=False, replies_see="past", queries_see="all")
_AS_IT_COMES = VisibilityRule(order="time", frames_see_text=True, replies_see="past")

LAYOUTS: MappingProxyType[str, Layout] = MappingProxyType(
    {
        name: Layout(name=name, positions=positions, visibility=visibility)
        for name, positions, visibility in (
            ("origin", PositionRule(reply="continue"), _WHOLE_VIDEO),
            ("batch", PositionRule(reply="restart"), _WHOLE_VIDEO),
            ("group", PositionRule(reply="restart"), _GROUPS),
            ("gap", PositionRule(reply="restart", offset=10_000), _GROUPS),
            ("overlap", PositionRule(reply="continue"), _GROUPS),
            ("overlap_shared", PositionRule(reply="shared"), _GROUPS),
            ("branch", PositionRule(reply="continue", beside=True), _BRANCHES),
            ("interleave", PositionRule(reply="continue", clock="stream"), _AS_IT_COMES),
        )
    }
)


def with_offset(layout: Layout, phi: int) -> Layout:
    """The same layout with what the model says beginning at position `phi` (group is phi 0, gap is phi 10000).

    Raises:
        SettingsError: the layout does not restart positions, or `phi` is negative.
    """
    return replace(layout, positions=replace(layout.positions, offset=phi))
