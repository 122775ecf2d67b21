"""The packaged streaming model: load it, open sessions on it, save it."""

from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedConfig, ProcessorMixin

from models.backbone import MODEL_CLASSES, Backbone, family_of
from models.dialogue import Dialogue
from models.engine import Engine
from models.errors import SettingsError
from models.intake import Intake
from models.layouts import LAYOUTS
from models.manifest import ROUTER_WEIGHTS
from models.memory.policy import MemoryPolicy, build_policy
from models.metrics import Meter
from models.model_card import ModelCard
from models.package import SaveOptions, load, save_package
from models.pairs import Pairer
from models.patches import FrameFormat
from models.prompts import Prompts
from models.ranges import check_count
from models.router import RouterSettings, build_router
from models.row import Row
from models.session import Session, check_question
from models.settings import StreamingSettings
from models.slots import SlotPool
from models.state import State
from models.tiny import byte_processor
from models.tower import Tower
from models.track import Track
from models.vision import Encoder, VisionSettings
from models.watcher import Watcher
from models.watchers.clips import Clips
from models.watchers.delayed import Delayed
from models.watchers.incremental import Incremental

# Slots left for the system turn, the newest frame, a question and its reply, before memory takes the rest.
RESERVE = 0.35
# So many encoders keep what they have seen when no session uses them.
KEPT_ENCODERS = 2


class StreamingModel:
    """A model that is ready to watch; sessions share its weights and its vision encoder.

    Args:
        backbone: the model.
        processor: the family's processor; its tokenizer and video processor are used.
        settings: defaults of every session.
        folder: where it was loaded from; learned routers lie there.

    Raises:
        SettingsError: the processor or the settings are none.
    """

    def __init__(
        self, backbone: Backbone, processor: ProcessorMixin, settings: StreamingSettings, *, folder: Path | None = None
    ) -> None:
        if not isinstance(processor, ProcessorMixin):
            raise SettingsError(f"processor: found {processor!r}, expected a processor of transformers")
        _check_settings(settings)
        self.backbone = backbone
        self.processor = processor
        self.settings = settings
        self.folder = folder
        self.prompts = Prompts(processor.tokenizer, backbone.family)
        # An encoder lives as long as a session uses it, and the newest ones beyond that, with what they have seen.
        self._encoders: WeakValueDictionary[VisionKey, Encoder] = WeakValueDictionary()
        self._newest: deque[Encoder] = deque(maxlen=KEPT_ENCODERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        attention: str = "sdpa",
        verify: bool = False,
    ) -> "StreamingModel":
        """Loads a package folder, or a plain checkpoint by folder or hub name with default settings.

        Args:
            source: folder or hub name.
            device: where the decoder goes.
            dtype: None keeps the checkpoint's.
            attention: `eager` or `sdpa`.
            verify: hash the weights of a package too, which reads them twice.

        Raises:
            PackageError: the folder is incomplete, damaged or of another version; or a hub name cannot be reached.
            SettingsError: source, device or dtype are none.
        """
        if not isinstance(source, str | Path):
            raise SettingsError(f"source: found {source!r}, expected a folder or a name on the hub")
        _check_place(device, dtype)
        loaded = load(source, device=device, dtype=dtype, attention=attention, verify=verify)
        return cls(Backbone(loaded.model), loaded.processor, loaded.settings, folder=loaded.folder)

    def save(self, folder: str | Path, *, card: ModelCard, options: SaveOptions | None = None) -> Path:
        """Writes a package: weights, processor, streaming settings, model card and licence, whole or not at all.

        Args:
            folder: where it goes.
            card: name, licence and where the training came from.
            options: whether to replace a folder, and what else goes in; a learned router that the model was loaded
                with goes in unless another one is given.

        Raises:
            PackageError: the folder exists, or a learned router's weights are missing.
        """
        chosen = SaveOptions() if options is None else options
        trained = None if self.folder is None else self.folder / ROUTER_WEIGHTS
        if chosen.router_weights is None and trained is not None and trained.is_file():
            chosen = replace(chosen, router_weights=trained)
        return save_package(
            folder,
            model=self.backbone.model,
            processor=self.processor,
            settings=self.settings,
            card=card,
            options=chosen,
        )

    @classmethod
    def from_random(
        cls,
        config: PreTrainedConfig,
        *,
        seed: int = 0,
        processor: ProcessorMixin | None = None,
        settings: StreamingSettings | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "StreamingModel":
        """A model with random weights: for tests, plumbing and speed.

        Args:
            config: a configuration of one of the three families; its attention implementation is kept, else `sdpa`.
            seed: of the weights.
            processor: None is `models.tiny.byte_processor`, made for the configuration.
            settings: None is the defaults.
            device: of all weights.
            dtype: of all weights.

        Raises:
            SettingsError: the configuration is of another family, or an argument is of the wrong type.
        """
        family = family_of(config)
        _check_place(device, dtype)
        check_count("seed", seed, least=0)
        attention = config._attn_implementation or "sdpa"
        with torch.random.fork_rng(devices=[]), torch.device(device):
            torch.manual_seed(seed)
            model = MODEL_CLASSES[family.name](config)
        model.set_attn_implementation(attention)
        chosen = StreamingSettings() if settings is None else settings
        model.to(dtype)  # type: ignore[arg-type]  # transformers wraps `to` and loses its type
        given = byte_processor(config) if processor is None else processor
        return cls(Backbone(model), given, chosen)

    def session(
        self,
        settings: StreamingSettings | None = None,
        *,
        mode: str | None = None,
        memory: str | None = None,
        window_s: float | None = None,
        router: str | None = None,
        pool: SlotPool | None = None,
    ) -> Session:
        """Opens a stream.

        Args:
            settings: all of them; None is the model's.
            mode: how frames reach the cache; None keeps the settings', as for the next three.
            memory: the memory policy.
            window_s: seconds that memory reaches back; goes before that of the memory settings too.
            router: chooses what a question sees.
            pool: shared by several sessions (`self.pool`); None makes one for this session alone.

        Raises:
            SettingsError: a setting is unknown or contradicts another, or the pool belongs to another model.
            PoolFullError: the pool has no row left.
        """
        chosen = self.settings if settings is None else settings
        _check_settings(chosen)
        chosen = replace(
            chosen,
            mode=chosen.mode if mode is None else mode,
            memory=chosen.memory if memory is None else memory,
            window_s=chosen.window_s if window_s is None else window_s,
            router=chosen.router if router is None else router,
            memory_settings=chosen.memory_settings
            if window_s is None
            else replace(chosen.memory_settings, window_s=window_s),
        )
        if chosen.mode == "parallel" and chosen.router is not None:
            raise SettingsError("router: a router cannot choose while frames keep coming; use mode incremental")
        if pool is None:
            pool = self.pool(slots=chosen.slots)
        elif not isinstance(pool, SlotPool) or pool.backbone is not self.backbone:
            raise SettingsError("pool: found one that is not of this model; make it with the model's pool()")
        return Session(self._state(chosen, pool))

    def pool(self, *, slots: int | None = None, sessions: int = 1) -> SlotPool:
        """A cache pool for some sessions; `slots` of each, None is the settings'."""
        return SlotPool(self.backbone, slots=self.settings.slots if slots is None else slots, rows=sessions)

    def grid_features(self, frames: npt.NDArray[np.uint8]) -> Tensor:
        """What a router sees of one grid: floating (tokens, width), for the training of a learned one.

        Args:
            frames: uint8 (2, height, width, 3), the two frames of the grid; a lone frame stands twice.

        Raises:
            FrameError: another shape, dtype or a size that the model cannot take.
        """
        return self._encoder(self.settings, self._frame_format(self.settings)).submit(frames).result().embeds

    def question_features(self, question: str) -> Tensor:
        """What a router sees of a question: floating (words, width). Raises QuestionError where it is no text."""
        check_question(question)
        return self.backbone.embed(torch.tensor(self.prompts.text(question)))

    def _frame_format(self, settings: StreamingSettings) -> FrameFormat:
        return FrameFormat.from_processor(
            self.processor, self.backbone.family, min_pixels=settings.min_pixels, max_pixels=settings.max_pixels
        )

    def _state(self, settings: StreamingSettings, pool: SlotPool) -> State:
        frame_format = self._frame_format(settings)
        router = None
        if settings.router is not None:
            weights = None if self.folder is None else self.folder / ROUTER_WEIGHTS
            router = build_router(settings.router, settings=RouterSettings(seed=settings.seed, indexer=weights))
        meter = Meter()
        layout = LAYOUTS[settings.layout]
        clock = self.backbone.family.clock
        if layout.positions.clock == "stream":
            clock = replace(clock, origin_ns=0)
        row = Row(Engine(self.backbone, pool), clock=clock)
        try:
            track = Track(
                row,
                self.prompts,
                meter,
                system_prompt=settings.system_prompt,
                position_limit=settings.position_limit,
            )
            intake = Intake(
                self._encoder(settings, frame_format),
                Pairer(round(settings.max_gap_s * 1e9)),
                frame_format=frame_format,
                family=self.backbone.family,
                meter=meter,
            )
            watcher = _watcher(track, settings, pool)
            dialogue = Dialogue(row, settings.history_rounds, rule=layout.positions)
            track.in_line = layout.in_line
            if layout.visibility.frames_see_text:
                track.text = dialogue.visible
        except BaseException:
            row.close()
            raise
        return State(
            row=row,
            track=track,
            watcher=watcher,
            dialogue=dialogue,
            intake=intake,
            prompts=self.prompts,
            meter=meter,
            settings=settings,
            positions=layout.positions,
            visibility=layout.visibility,
            router=router,
        )

    def _encoder(self, settings: StreamingSettings, frame_format: FrameFormat) -> Encoder:
        """The encoder that all sessions with the same vision settings share, and its cache with it."""
        vision = VisionSettings(
            cache_bytes=settings.cache_bytes,
            similarity=settings.similarity,
            background=settings.background,
            max_pending=settings.max_pending,
        )
        key = VisionKey(vision=vision, frame_format=frame_format, device=settings.vision_device)
        encoder = self._encoders.get(key)
        if encoder is None:
            device = None if settings.vision_device is None else self._vision_device(settings.vision_device)
            encoder = self._encoders[key] = Encoder(Tower(self.backbone, device=device), frame_format, vision)
        if encoder in self._newest:
            self._newest.remove(encoder)
        self._newest.append(encoder)
        return encoder

    def _vision_device(self, name: str) -> torch.device:
        """A device that the tower can move to; sessions share the tower, so it must not move under one of them."""
        device = _device("setting vision_device", name)
        at = next(self.backbone.visual.parameters()).device
        if self._encoders and device != at:
            raise SettingsError(
                f"setting vision_device is {name!r}, but sessions of this model encode on {at}; "
                "give all of them the same, or close the model first"
            )
        return device

    def close(self) -> None:
        """Ends the background threads; sessions that are open keep their cache and can answer, but take no frames."""
        for encoder in list(self._encoders.values()):
            encoder.close()
        self._encoders.clear()
        self._newest.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionKey:
    """What sessions must have in common to share an encoder."""

    vision: VisionSettings
    frame_format: FrameFormat
    device: str | None


def _check_settings(settings: StreamingSettings) -> None:
    if type(settings) is not StreamingSettings:
        raise SettingsError(f"settings: found {settings!r}, expected StreamingSettings")


def _check_place(device: str | torch.device, dtype: torch.dtype | None) -> None:
    _device("device", device)
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise SettingsError(f"dtype: found {dtype!r}, expected a floating dtype such as torch.bfloat16")


def _device(what: str, name: str | torch.device) -> torch.device:
    """A device that is there and holds data."""
    try:
        probe = torch.zeros(1, device=torch.device(name))
        probe.cpu()
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        raise SettingsError(
            f"{what} is {name!r}, which is not to be had here ({str(error).splitlines()[0]}); take one such as cpu"
        ) from error
    return probe.device


def _watcher(track: Track, settings: StreamingSettings, pool: SlotPool) -> Watcher:
    if settings.mode == "clip":
        return Clips(track, settings.clip_frames // track.prompts.family.temporal)
    policy = _policy(settings, pool)
    if settings.mode == "delayed":
        return Delayed(track, policy)
    return Incremental(track, policy, keep_features=settings.router is not None)


def _policy(settings: StreamingSettings, pool: SlotPool) -> MemoryPolicy:
    """The memory policy, with room left in the pool for all that is not video."""
    given = settings.memory_settings
    room = max(1, int(pool.slots * (1 - RESERVE)))
    limit = room if given.max_tokens is None else min(room, given.max_tokens)
    window = settings.window_s if given.window_s is None else given.window_s
    # Blocks that a router may call back keep their features beside keys and values.
    backbone = pool.backbone
    features = 0 if settings.router is None else backbone.width * backbone.feature_parts * backbone.dtype.itemsize
    chunk_bytes = pool.bytes_per_slot + features
    return build_policy(
        settings.memory, settings=replace(given, max_tokens=limit, window_s=window, chunk_bytes=chunk_bytes)
    )
