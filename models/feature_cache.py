"""What the tower has said already: by exact content, and, where asked for, by likeness to a frame that was encoded."""

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from models.backbone import Features
from models.errors import SettingsError

# A cell may differ by this many times the mean: a small thing that moves changes few cells, but those a lot.
BLOCK_FACTOR = 4.0


def content_key(frames: Tensor, *fingerprints: bytes) -> bytes:
    """16 bytes that name the features of these pixels under these settings: blake2b over bytes, shape and fingerprints.

    Args:
        frames: uint8, any shape and device.
        fingerprints: of the frame format and the tower.
    """
    state = hashlib.blake2b(f"{tuple(frames.shape)}".encode(), digest_size=16)
    for fingerprint in fingerprints:
        # The length keeps two neighbours from being read as two others.
        state.update(len(fingerprint).to_bytes(8, "big") + fingerprint)
    state.update(frames.cpu().contiguous().numpy().data.cast("B"))
    return state.digest()


class FeatureCache:
    """Features by content key, the least recently used dropped first, never more than `max_bytes` of tensors.

    A hit returns the tensors themselves: nobody may write to them. One thread at a time.

    Attributes:
        max_bytes: bound of `nbytes`; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        """Starts empty.

        Raises:
            SettingsError: a negative bound.
        """
        if max_bytes < 0:
            raise SettingsError(f"max_bytes: found {max_bytes}, expected 0 or more")
        self.max_bytes = max_bytes
        self._entries: OrderedDict[bytes, Features] = OrderedDict()
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all kept tensors."""
        return self._nbytes

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def get(self, key: bytes) -> Features | None:
        """The features under the key, which become the most recently used; None: not kept."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, key: bytes, features: Features) -> None:
        """Keeps the features, and drops what has been unused longest until all fits; too large ones are not kept."""
        old = self._entries.pop(key, None)
        if old is not None:
            self._nbytes -= old.nbytes
        if features.nbytes > self.max_bytes:
            return
        self._entries[key] = features
        self._nbytes += features.nbytes
        while self._nbytes > self.max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._nbytes -= dropped.nbytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signature:
    """A thumbnail of one grid.

    Attributes:
        size: height and width of the frames it was taken from.
        cells: float32 (frames * 3, rows, columns), mean colours in 0…255.
    """

    size: tuple[int, int]
    cells: Tensor

    def like(self, other: "Signature", threshold: float) -> bool:
        """Whether frames of one size differ less than `threshold` in the mean, and in no cell four times as much."""
        if self.size != other.size or self.cells.shape != other.cells.shape:
            return False
        apart = (self.cells - other.cells).abs()
        return bool(apart.mean() < threshold) and bool(apart.amax() < BLOCK_FACTOR * threshold)


def signature(frames: Tensor, grid: tuple[int, int]) -> Signature:
    """The mean colour of every cell of both frames.

    Args:
        frames: uint8 (frames, height, width, 3).
        grid: rows and columns of cells, such as the grid in patches.
    """
    planes = frames.permute(0, 3, 1, 2).float()
    cells = functional.adaptive_avg_pool2d(planes, grid).flatten(0, 1).cpu()
    return Signature(size=(int(frames.shape[1]), int(frames.shape[2])), cells=cells)


class SimilarCache:
    """Which encoded frame a new one is like; holds thumbnails and keys, while the features stay in the `FeatureCache`.

    Only frames that were really encoded are added, so a slow drift is measured from its beginning and never chains.

    Attributes:
        threshold: greatest mean difference, in 0…255; small things that move may change a cell by four times as much.
        entries: how many thumbnails are kept; the oldest goes first.
    """

    def __init__(self, threshold: float, *, entries: int = 16) -> None:
        """Starts empty.

        Raises:
            SettingsError: a threshold of 0 or less, or beyond 255, or no entries.
        """
        if not 0 < threshold <= 255 or entries < 1:
            raise SettingsError(
                f"similarity: found {threshold} over {entries} entries, expected 0 < threshold <= 255, 1 or more"
            )
        self.threshold = threshold
        self._entries: deque[tuple[Signature, bytes]] = deque(maxlen=entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, seen: Signature, key: bytes) -> None:
        """Remembers a frame that is being encoded."""
        self._entries.append((seen, key))

    def like(self, seen: Signature) -> Iterator[bytes]:
        """Keys of the encoded frames like this one, the latest first; their features may be gone by now."""
        return (key for other, key in reversed(self._entries) if other.like(seen, self.threshold))
