"""The packaged streaming model: load it, open sessions on it, save it."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
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
from models.router import RouterSettings, build_router
from models.row import Row
from models.session import Session
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


class StreamingModel:
    """A model that is ready to watch; sessions share its weights and its vision encoder.

    Args:
        backbone: the model.
        processor: the family's processor; its tokenizer and video processor are used.
        settings: defaults of every session.
        folder: where it was loaded from; learned routers lie there.
    """

    def __init__(
        self, backbone: Backbone, processor: ProcessorMixin, settings: StreamingSettings, *, folder: Path | None = None
    ) -> None:
        self.backbone = backbone
        self.processor = processor
        self.settings = settings
        self.folder = folder
        self.prompts = Prompts(processor.tokenizer, backbone.family)
        self._encoders: dict[VisionKey, Encoder] = {}

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        attention: str = "sdpa",
    ) -> "StreamingModel":
        """Loads a package folder, or a plain checkpoint by folder or hub name with default settings.

        Args:
            source: folder or hub name.
            device: where the decoder goes.
            dtype: None keeps the checkpoint's.
            attention: `eager` or `sdpa`.

        Raises:
            PackageError: the folder is incomplete, damaged or of another version; or a hub name cannot be reached.
        """
        loaded = load(source, device=device, dtype=dtype, attention=attention)
        return cls(Backbone(loaded.model), loaded.processor, loaded.settings, folder=loaded.folder)

    def save(self, folder: str | Path, *, card: ModelCard, options: SaveOptions | None = None) -> Path:
        """Writes a package: weights, processor, streaming settings, model card and licence, whole or not at all.

        Args:
            folder: where it goes.
            card: name, licence and where the training came from.
            options: whether to replace a folder, and what else goes in.

        Raises:
            PackageError: the folder exists, or a learned router's weights are missing.
        """
        return save_package(
            folder,
            model=self.backbone.model,
            processor=self.processor,
            settings=self.settings,
            card=card,
            options=SaveOptions() if options is None else options,
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
        """
        family = family_of(config)
        attention = config._attn_implementation or "sdpa"
        with torch.random.fork_rng(devices=[]), torch.device(device):
            torch.manual_seed(seed)
            model = MODEL_CLASSES[family.name](config)
        model.set_attn_implementation(attention)
        chosen = StreamingSettings() if settings is None else settings
        model.to(dtype)  # type: ignore[arg-type]  # transformers wraps `to` and loses its type
        return cls(Backbone(model), processor or byte_processor(config), chosen)

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
            SettingsError: a setting is unknown or contradicts another.
            PoolFullError: the pool has no row left.
        """
        chosen = self.settings if settings is None else settings
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
        return Session(self._state(chosen, self.pool(slots=chosen.slots) if pool is None else pool))

    def pool(self, *, slots: int | None = None, sessions: int = 1) -> SlotPool:
        """A cache pool for some sessions; `slots` of each, None is the settings'."""
        return SlotPool(self.backbone, slots=self.settings.slots if slots is None else slots, rows=sessions)

    def _state(self, settings: StreamingSettings, pool: SlotPool) -> State:
        frame_format = FrameFormat.from_processor(
            self.processor, self.backbone.family, min_pixels=settings.min_pixels, max_pixels=settings.max_pixels
        )
        router = None
        if settings.router is not None:
            weights = None if self.folder is None else self.folder / ROUTER_WEIGHTS
            router = build_router(settings.router, settings=RouterSettings(seed=settings.seed, indexer=weights))
        meter = Meter()
        positions = LAYOUTS[settings.layout].positions
        row = Row(Engine(self.backbone, pool), clock=self.backbone.family.clock)
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
        except Exception:
            row.close()
            raise
        return State(
            row=row,
            track=track,
            watcher=watcher,
            dialogue=Dialogue(row, settings.history_rounds, rule=positions),
            intake=intake,
            prompts=self.prompts,
            meter=meter,
            settings=settings,
            positions=positions,
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
        if key not in self._encoders:
            device = None if settings.vision_device is None else torch.device(settings.vision_device)
            self._encoders[key] = Encoder(Tower(self.backbone, device=device), frame_format, vision)
        return self._encoders[key]

    def close(self) -> None:
        """Ends the background threads; sessions that are open keep their cache."""
        for encoder in self._encoders.values():
            encoder.close()
        self._encoders = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionKey:
    """What sessions must have in common to share an encoder."""

    vision: VisionSettings
    frame_format: FrameFormat
    device: str | None


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
    room = int(pool.slots * (1 - RESERVE))
    limit = room if given.max_tokens is None else min(room, given.max_tokens)
    window = settings.window_s if given.window_s is None else given.window_s
    return build_policy(
        settings.memory, settings=replace(given, max_tokens=limit, window_s=window, chunk_bytes=pool.bytes_per_slot)
    )
