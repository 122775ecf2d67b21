"""What a question looks at: the frames that memory holds, those that a router picks, and the newest ones."""

from dataclasses import dataclass, replace

import torch

from models.answer import Branch
from models.memory.policy import RetrievalPolicy
from models.positions import Cursor
from models.router import Candidate, choose
from models.row import Draft
from models.state import State
from models.track import Scene, scene_of
from models.watcher import Remembered, wait
from models.watchers.incremental import Incremental


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A branch that is open, with the frames that only it has.

    Attributes:
        branch: where question and reply go.
        drafts: the newest frames, placed on the branch and not fed yet.
        passing: entries that go when the branch ends, whatever stays of it.
        frames: grids that the branch sees.
        until_ns: nothing later than this is seen; None hides nothing.
    """

    branch: Branch
    drafts: tuple[Draft, ...]
    passing: tuple[int, ...]
    frames: int
    until_ns: int | None


def look(state: State, words: tuple[int, ...], *, until_ns: int | None = None) -> View:
    """Opens a branch on what has been seen.

    Args:
        state: the session; all grids that came in are in its cache or wait for a clip.
        words: the question's tokens, for a router.
        until_ns: shows only frames and rounds that are known at this time, for a decision about it; None also shows the
            frame that still waits for its partner.

    Raises:
        PoolFullError: recalled or newest frames do not fit; nothing is left behind then.
    """
    remembered = _until(state, state.watcher.ready(), until_ns)
    chosen, recalled_keys = _route(state, words, remembered)
    recalled = state.watcher.recall(recalled_keys) if isinstance(state.watcher, Incremental) else []
    base = [state.track.start(), *recalled, *(remembered.entries[key] for key in chosen)]
    try:
        scenes = _newest(state, until_ns)
        seen = [*base, *state.track.text(until_ns)]
        drafts, cursor = state.track.place(scenes, sees=seen, cursor=_frames_end(state, remembered, until_ns))
    except BaseException:
        state.row.free(recalled)
        raise
    branch = Branch(state.row, [*base, *state.dialogue.visible(until_ns)], _text_cursor(state, cursor, until_ns))
    state.row.free(recalled)  # they live on as long as the branch holds them
    branch.own += [draft.entry.id for draft in drafts]
    return View(
        branch=branch,
        drafts=tuple(drafts),
        passing=tuple(branch.own),
        frames=len(recalled) + len(chosen) + len(scenes),
        until_ns=until_ns,
    )


def _until(state: State, remembered: Remembered, until_ns: int | None) -> Remembered:
    """What was remembered of the time up to an instant."""
    if until_ns is None:
        return remembered
    keys = [key for key in remembered.keys if state.row.entry(remembered.entries[key]).block.t1_ns <= until_ns]
    return replace(remembered, keys=tuple(keys))


def _frames_end(state: State, remembered: Remembered, until_ns: int | None) -> Cursor:
    """Where the next frame would go."""
    if until_ns is None or not remembered.keys:
        return state.track.cursor if until_ns is None else Cursor(next=state.row.entry(state.track.start()).end)
    return state.row.after(state.row.entry(remembered.entries[remembered.keys[-1]]))


def _text_cursor(state: State, frames: Cursor, until_ns: int | None) -> Cursor:
    """Where text begins: behind the frames and the dialogue that shares their count, of that time."""
    return Cursor(next=max(frames.next, state.dialogue.end_at(until_ns)))


def _newest(state: State, until_ns: int | None) -> list[Scene]:
    """Grids that are not in the cache: those of an unfinished clip, and the frame that waits for its partner."""
    scenes = [scene for scene in state.watcher.tail() if until_ns is None or scene.last_ns < until_ns]
    waiting = state.intake.lone() if until_ns is None else None
    if waiting is not None:
        scenes.append(scene_of(waiting, wait(waiting.future, state.meter)))
    return scenes


def _route(state: State, words: tuple[int, ...], remembered: Remembered) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The keys in the cache that the question sees, and those to call back from host memory."""
    if state.router is None or not words:
        return remembered.keys, ()
    query = state.row.engine.backbone.embed(torch.tensor(words))
    if isinstance(state.watcher, Incremental) and isinstance(state.watcher.policy, RetrievalPolicy):
        away = [
            Candidate(key=key, t_ns=kept.entry.block.t0_ns, features=kept.features.embeds.to(query.device))
            for key, kept in state.watcher.offloaded.items()
            if kept.features is not None
        ]
        picked = choose(state.router, query, away, top_k=state.settings.top_k) if away else ()
        state.watcher.policy.recalled(picked)
        return remembered.keys, picked
    candidates = [
        Candidate(
            key=key, t_ns=_time(state, remembered, key), features=remembered.features[key].embeds.to(query.device)
        )
        for key in remembered.keys
    ]
    return (choose(state.router, query, candidates, top_k=state.settings.top_k) if candidates else ()), ()


def _time(state: State, remembered: Remembered, key: int) -> int:
    return state.row.entry(remembered.entries[key]).block.t0_ns
