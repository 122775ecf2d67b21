"""What runs in the environment of py-data-juicer: one operator over one film, and what it cost.

    python peer_work.py split|frames FILM FOLDER

Prints a line of JSON: seconds by the clock and of processor time, children's included, and how many files were made.
"""

import json
import os
import sys
import time


def main(name, film, to):
    """Run the operator at its defaults."""
    if name == "split":
        from data_juicer.ops.mapper.video_split_by_scene_mapper import VideoSplitBySceneMapper

        operator = VideoSplitBySceneMapper(save_dir=to)
    else:
        from data_juicer.ops.mapper.video_extract_frames_mapper import VideoExtractFramesMapper

        operator = VideoExtractFramesMapper(frame_dir=to, legacy_split_by_text_token=False)
    # Loaded when they are first asked for: that is no work on this film.
    import av  # noqa: F401
    import scenedetect.detectors  # noqa: F401

    begun, before = time.perf_counter(), sum(os.times()[:4])
    operator.process_single({"videos": [film], "text": "<__dj__video>", "__dj__meta__": {}})
    wall, cpu = time.perf_counter() - begun, sum(os.times()[:4]) - before
    files = sum(len(names) for _, _, names in os.walk(to))
    print(json.dumps({"wall": wall, "cpu": cpu, "made": files}))


if __name__ == "__main__":
    main(*sys.argv[1:])
