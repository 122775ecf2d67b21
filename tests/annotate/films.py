"""Videos and their records for tests of proxies, and what a proxy shows."""

import av
import numpy as np

from annotate.proxy import proxy_path
from datasets_build.core.files import sha256_file
from datasets_build.video import probe, scan
from tests.builders.made import video_of
from tests.drawn import frame_number


def indexed(path):
    """The record and the clock of a video file, as the index has them."""
    found = probe(path)
    clock = found.clock
    video = video_of(path.stem, clock).model_copy(
        update={
            "uri": path.name, "sha256": sha256_file(path), "bytes": path.stat().st_size, "container": found.container,
            "codec": found.codec, "width": found.width, "height": found.height, "sar_num": found.sar.numerator,
            "sar_den": found.sar.denominator, "rotation_deg": found.rotation_deg, "start_pts": found.start_pts,
            "time_base_num": found.time_base.numerator, "time_base_den": found.time_base.denominator,
            "problems": found.problems, "status": found.status, "n_frames": found.n_frames,
        }
    )  # fmt: skip
    return video, clock


def pictures(folder, window):
    """What the frames of a proxy look like, `(height, width, 3)` RGB each."""
    path = proxy_path(folder, window)
    return [frame.full() for frame in scan(path, probe(path).clock, size=None)]


def numbers(folder, window):
    """The numbers that the frames of a proxy bear."""
    return [frame_number(picture) for picture in pictures(folder, window)]


def small(picture):
    """A picture as 48 x 64 colours, float, for telling frames of one scene apart."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return frame.reformat(64, 48, "rgb24", interpolation="AREA").to_ndarray().astype(float)
