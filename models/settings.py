"""How a model is streamed: every setting of a session, checked once, with a strict JSON form that a package carries."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Final

from models.errors import SettingsError
from models.layouts import LAYOUTS, Layout
from models.memory.policy import POLICIES
from models.memory.settings import MemorySettings
from models.ranges import check_count, check_number
from models.router import ROUTERS

MODES: Final = ("incremental", "delayed", "clip", "parallel")
MIB: Final = 2**20
_DEVICE: Final = re.compile(r"[a-z]+(:\d+)?")


def _unserved(layout: Layout, mode: str) -> str:
    """Why no session can do as a layout says in a mode; empty where one can."""
    if mode in ("delayed", "clip") and not layout.positions.beside:
        return "this mode places frames anew, so a count that frames and questions share has no meaning"
    if mode == "parallel" and layout.in_line:
        return "frames that come while a reply is written would stand in the middle of it"
    if mode == "parallel" and layout.retold:
        return "its replies stand behind all input, and input that comes while one is written would move it"
    return ""


def served_modes(layout: str) -> tuple[str, ...]:
    """The modes in which a session gives exactly the ids and the mask of a layout, by its name in LAYOUTS."""
    return tuple(mode for mode in MODES if not _unserved(LAYOUTS[layout], mode))


def served_layouts(mode: str) -> tuple[str, ...]:
    """The names of the layouts that a session gives in a mode."""
    return tuple(name for name, layout in LAYOUTS.items() if not _unserved(layout, mode))


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamingSettings:
    """What a session does with frames, questions and its cache. Raises SettingsError, naming the field.

    Change one with `dataclasses.replace`, which checks again.

    Attributes:
        mode: `incremental` (frames enter the cache as they come), `delayed` (at the next question), `clip` (the newest
            `clip_frames` alone, anew for each question) or `parallel` (frames enter while an answer is written).
        memory: name of the policy that says which chunks live.
        memory_settings: the policy's own knobs; its `window_s`, if set, goes before the one here.
        router: name of the rule that picks the chunks a question sees; None shows it all that live.
        top_k: how many chunks the router picks.
        window_s: seconds that the memory reaches back; None sets no limit.
        frames_per_chunk: frames that enter the cache together, two to a grid; memory judges each grid.
        clip_frames: frames of a clip, 4 to 16, two to a grid.
        layout: name of the layout of positions and visibility that the model was trained under, one of LAYOUTS; which
            of them a mode serves is told by `served_modes`.
        max_gap_s: frames further apart than this never share a temporal patch.
        slots: tokens that the cache pool holds, for all sessions together.
        history_rounds: questions with their answers that later questions still see.
        system_prompt: text of the system turn; empty leaves the turn out.
        max_new_tokens: tokens of an answer, at most.
        temperature: 0 always takes the likeliest token.
        top_p: smallest share of probability that sampling chooses from; 1 is all of it.
        top_k_sampling: how many of the likeliest tokens sampling chooses from; 0 is all of them.
        repetition_penalty: 1 is none.
        seed: of the sampling.
        decision_tokens: what the model says to stay silent, to stand by and to respond, in this order.
        speak_threshold: probability of `respond` from which the model speaks; None takes the likeliest decision.
        position_limit: greatest position before the positions of a stream are set back.
        min_pixels: area of a frame, at least, before it is cut in patches; None leaves it to the processor.
        max_pixels: the same, at most.
        cache_bytes: vision features kept for frames seen again.
        similarity: greatest mean difference of thumbnails, in 0…255, at which an earlier frame's features are taken;
            None never.
        background: encode frames in a thread of their own while nothing is asked.
        max_pending: frames that may wait to be encoded before the next one has to wait.
        vision_device: where the vision tower lives, as in `cuda:1`; None is where the decoder lives.
    """

    mode: str = "incremental"
    memory: str = "star_stream"
    memory_settings: MemorySettings = field(default_factory=MemorySettings)
    router: str | None = None
    top_k: int = 8
    window_s: float | None = 60.0
    frames_per_chunk: int = 2
    clip_frames: int = 8
    layout: str = "branch"
    max_gap_s: float = 2.0
    slots: int = 8192
    history_rounds: int = 10
    system_prompt: str = "You are a helpful assistant."
    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    top_k_sampling: int = 0
    repetition_penalty: float = 1.0
    seed: int = 0
    decision_tokens: tuple[str, str, str] = ("<|silence|>", "<|standby|>", "<|respond|>")
    speak_threshold: float | None = None
    position_limit: int = 24_000
    min_pixels: int | None = None
    max_pixels: int | None = None
    cache_bytes: int = 256 * MIB
    similarity: float | None = None
    background: bool = True
    max_pending: int = 8
    vision_device: str | None = None

    def __post_init__(self) -> None:
        """Refuse a field of the wrong type or outside its range, naming it."""
        _check_choice("mode", self.mode, MODES)
        _check_choice("memory", self.memory, sorted(POLICIES))
        if type(self.memory_settings) is not MemorySettings:
            raise SettingsError(f"setting memory_settings is {self.memory_settings!r}, expected MemorySettings")
        if self.router is not None:
            _check_choice("router", self.router, sorted(ROUTERS))
        _check_layout(self.layout, self.mode)
        self._check_numbers()
        self._check_optional_numbers()
        if type(self.system_prompt) is not str or not _is_text(self.system_prompt):
            raise SettingsError(f"setting system_prompt is {self.system_prompt!r}, expected text")
        if type(self.background) is not bool:
            raise SettingsError(f"setting background is {self.background!r}, expected true or false")
        _check_decisions(self.decision_tokens)
        device = self.vision_device
        if device is not None and (type(device) is not str or not _DEVICE.fullmatch(device)):
            raise SettingsError(f"setting vision_device is {device!r}, expected null or such as cpu, cuda or cuda:1")

    def _check_numbers(self) -> None:
        check_count("setting top_k", self.top_k, least=1)
        check_count("setting frames_per_chunk", self.frames_per_chunk, least=2)
        if self.frames_per_chunk % 2:
            raise SettingsError(f"setting frames_per_chunk is {self.frames_per_chunk}, expected two frames to a grid")
        check_count("setting clip_frames", self.clip_frames, least=4, most=16)
        if self.clip_frames % 2:
            raise SettingsError(f"setting clip_frames is {self.clip_frames}, expected an even number: two to a grid")
        check_count("setting slots", self.slots, least=1)
        check_count("setting history_rounds", self.history_rounds, least=0)
        check_count("setting max_new_tokens", self.max_new_tokens, least=1)
        check_count("setting top_k_sampling", self.top_k_sampling, least=0)
        check_count("setting seed", self.seed, least=0)
        check_count("setting position_limit", self.position_limit, least=1)
        check_count("setting cache_bytes", self.cache_bytes, least=0)
        check_count("setting max_pending", self.max_pending, least=1)
        check_number("setting max_gap_s", self.max_gap_s, low=1e-9, high=1e9)
        check_number("setting temperature", self.temperature, low=0.0, high=100.0)
        check_number("setting top_p", self.top_p, low=1e-9, high=1.0)
        check_number("setting repetition_penalty", self.repetition_penalty, low=1e-9, high=100.0)

    def _check_optional_numbers(self) -> None:
        if self.window_s is not None:
            check_number("setting window_s", self.window_s, low=1e-9, high=1e9)
        if self.speak_threshold is not None:
            check_number("setting speak_threshold", self.speak_threshold, low=0.0, high=1.0)
        if self.similarity is not None:
            check_number("setting similarity", self.similarity, low=1e-9, high=255.0)
        if self.min_pixels is not None:
            check_count("setting min_pixels", self.min_pixels, least=1)
        if self.max_pixels is not None:
            check_count("setting max_pixels", self.max_pixels, least=self.min_pixels or 1)

    def to_json(self) -> dict[str, object]:
        """All settings by name, ready for `json.dump`."""
        return asdict(self) | {
            "decision_tokens": list(self.decision_tokens),
            "memory_settings": self.memory_settings.to_json(),
        }

    @classmethod
    def from_json(cls, value: object) -> "StreamingSettings":
        """The settings that `to_json` wrote; a field that is absent has its default, so older packages load.

        Raises:
            SettingsError: for an unknown field, or one of the wrong type or outside its range, by its name.
        """
        if not isinstance(value, dict):
            raise SettingsError(f"streaming settings are a {type(value).__name__}, expected a JSON object")
        names = [setting.name for setting in fields(cls)]
        unknown = sorted(str(name) for name in value if name not in names)
        if unknown:
            raise SettingsError(
                f"streaming settings: unknown field {', '.join(unknown)}; expected only {', '.join(names)}; "
                "correct its name, or use the version that wrote it"
            )
        given = dict(value)
        if isinstance(given.get("decision_tokens"), list):
            given["decision_tokens"] = tuple(given["decision_tokens"])
        if "memory_settings" in given:
            given["memory_settings"] = MemorySettings.from_json(given["memory_settings"])
        return cls(**given)


def _is_text(value: str) -> bool:
    """Whether it holds whole characters only; half of a surrogate pair stands for no bytes."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if type(value) is not str or value not in choices:
        raise SettingsError(f"setting {name} is {value!r}, expected one of {', '.join(choices)}")


def _check_layout(name: str, mode: str) -> None:
    _check_choice("layout", name, sorted(LAYOUTS))
    reason = _unserved(LAYOUTS[name], mode)
    if reason:
        fits = ", ".join(served_layouts(mode))
        raise SettingsError(
            f"setting layout is {name!r} in mode {mode}, expected one of {fits}: {reason}; "
            f"use mode {' or '.join(served_modes(name))}, or train under another layout"
        )


def _check_decisions(tokens: tuple[str, str, str]) -> None:
    fits = type(tokens) is tuple and len(tokens) == 3 and all(type(token) is str and token for token in tokens)
    if not fits or len(set(tokens)) != 3:
        raise SettingsError(
            f"setting decision_tokens is {tokens!r}, expected three different texts: for silence, standby and respond"
        )
