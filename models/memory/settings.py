"""Every knob of every memory policy, checked once, with a strict JSON form for a package's streaming settings."""

from dataclasses import asdict, dataclass, fields

from models.errors import SettingsError
from models.ranges import check_count, check_number


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """How much is remembered and by which rule; a policy reads the knobs that concern it. Raises SettingsError.

    All policies: `window_s` (seconds that the window, the stream part or the clusters reach back; None: no limit in
    time) and `max_tokens` (cache slots that live chunks may take together; None: no such limit). "window" and
    "retrieval": `last` (chunks in the window). "star_stream": `star_capacity`, `stream_capacity` (chunks),
    `scene_motion` (a motion above it is a scene change), `motion_weight`, `complexity_weight`, and `semantic` (judge
    by features: novelty takes the place of motion and `scene_novelty` that of `scene_motion`). "clusters":
    `cluster_match` (mean token cosine from which a chunk joins), `cluster_size` (chunks in one cluster),
    `cluster_buffer` (open clusters), `clusters` (closed ones). "retrieval": `host_bytes` (what offloaded chunks may
    take) at `chunk_bytes` (bytes for each token of a chunk; the default is the cache of Qwen2.5-VL-3B in bfloat16: 36
    layers x 2 (keys, values) x 2 heads x 128 x 2 bytes). A session puts the figure of its own model and pool there.
    """

    window_s: float | None = None
    max_tokens: int | None = None
    last: int | None = None
    star_capacity: int = 20
    stream_capacity: int = 20
    scene_motion: float = 0.3
    scene_novelty: float = 0.3
    motion_weight: float = 0.7
    complexity_weight: float = 0.3
    semantic: bool = False
    cluster_match: float = 0.6
    cluster_size: int = 5
    cluster_buffer: int = 3
    clusters: int = 32
    host_bytes: int = 4 * 2**30
    chunk_bytes: int = 36_864

    def __post_init__(self) -> None:
        """Refuse a knob of the wrong type or outside its range, naming it."""
        if self.window_s is not None:
            check_number("memory setting window_s", self.window_s, low=1e-9, high=1e9)
        if self.max_tokens is not None:
            check_count("memory setting max_tokens", self.max_tokens, least=1)
        if self.last is not None:
            check_count("memory setting last", self.last, least=1)
        check_count("memory setting star_capacity", self.star_capacity, least=1)
        check_count("memory setting stream_capacity", self.stream_capacity, least=1)
        check_number("memory setting scene_motion", self.scene_motion, low=0.0, high=1.0)
        check_number("memory setting scene_novelty", self.scene_novelty, low=0.0, high=1.0)
        check_number("memory setting motion_weight", self.motion_weight, low=0.0, high=1.0)
        check_number("memory setting complexity_weight", self.complexity_weight, low=0.0, high=1.0)
        if type(self.semantic) is not bool:
            raise SettingsError(f"memory setting semantic is {self.semantic!r}, expected true or false")
        check_number("memory setting cluster_match", self.cluster_match, low=-1.0, high=1.0)
        check_count("memory setting cluster_size", self.cluster_size, least=1)
        check_count("memory setting cluster_buffer", self.cluster_buffer, least=1)
        check_count("memory setting clusters", self.clusters, least=1)
        check_count("memory setting host_bytes", self.host_bytes, least=0)
        check_count("memory setting chunk_bytes", self.chunk_bytes, least=1)

    @property
    def window_ns(self) -> int | None:
        """The window in nanoseconds, or None."""
        return None if self.window_s is None else round(self.window_s * 1e9)

    def to_json(self) -> dict[str, float | int | bool | None]:
        """All knobs by name, ready for `json.dump`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> "MemorySettings":
        """The settings that `to_json` wrote; a field that is absent has its default, so older packages load.

        Raises:
            SettingsError: for an unknown field, or one of the wrong type or outside its range, by its name.
        """
        if not isinstance(value, dict):
            raise SettingsError(f"memory settings are a {type(value).__name__}, expected a JSON object")
        names = {field.name for field in fields(cls)}
        unknown = sorted(map(str, set(value) - names))
        if unknown:
            raise SettingsError(
                f"memory settings: unknown field {', '.join(unknown)}; expected only {', '.join(sorted(names))}; "
                "correct its name, or use the version that wrote it"
            )
        return cls(**value)
