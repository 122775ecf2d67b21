import os
import subprocess
import sys
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from datasets_build.checks.tables import scene_breaches
from datasets_build.core.perceived import Keyframe, Scene, Shot, Signals
from datasets_build.core.table import read_table
from datasets_build.decoders import pyav
from datasets_build.engines.outcome import ENVIRONMENT
from datasets_build.perception.clip import SIGNATURE, TINY, ClipConfig, SignatureEncoder, load_encoder
from datasets_build.perception.detect import Look, transitions_in
from datasets_build.perception.keyframes import KeyframesConfig
from datasets_build.perception.scan import SAMPLES_PER_STRETCH, ScanJob, ScanPlan, scan_video, scan_videos
from datasets_build.perception.scenes import ScenesConfig
from datasets_build.perception.shots import ShotsConfig
from datasets_build.perception.signals import SignalsConfig
from datasets_build.sources.world import WorldConfig, draw_world, read_truth, sidecar
from datasets_build.video import DECODERS, VideoError, probe
from tests.core.test_layout import video
from tests.drawn import LongSpec, VideoSpec, draw_long, draw_video

PLAN = ScanPlan(ShotsConfig(), ScenesConfig(), SignalsConfig(), KeyframesConfig(), analysis_side=128, decoder="pyav")


def scan(path, to, plan=PLAN):
    found = probe(path)
    record = video("v1", rotation_deg=found.rotation_deg, width=found.width, height=found.height)
    to.mkdir(exist_ok=True)
    counts = scan_video(path, record, found.clock, plan=plan, encoder=SignatureEncoder(), to=to)
    tables = ((Shot, "shots"), (Keyframe, "keyframes"), (Signals, "signals"))
    return found, counts, *(list(read_table(to / f"{name}.parquet", model)) for model, name in tables)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return draw_world(tmp_path_factory.mktemp("world"), WorldConfig(videos=3, seconds=16, seed=5))


def test_drawn_cuts_are_found_to_the_frame(world, tmp_path):
    for path in world:
        _, _, shots, _, _ = scan(path, tmp_path / path.stem)
        truth = read_truth(sidecar(path))
        cuts = {item.start_frame for item in truth.transitions if item.kind == "cut"}
        assert cuts <= {shot.start_frame for shot in shots if shot.transition == "cut"}


def test_tables_agree_with_the_clock_and_each_other(world, tmp_path):
    found, counts, shots, keyframes, signals = scan(world[0], tmp_path / "a")
    assert (counts.shots, counts.keyframes) == (len(shots), len(keyframes))
    assert shots[-1].end_ns == found.clock.end_ns
    spans = {shot.id: shot.span for shot in shots}
    for keyframe in keyframes:
        assert found.clock.time_of(keyframe.frame_index) == keyframe.t_ns
        assert spans[keyframe.shot_id].contains(keyframe.t_ns)
        assert keyframe.jpeg.startswith(b"\xff\xd8")
        assert not keyframe.embedder.is_semantic
    assert {keyframe.shot_id for keyframe in keyframes} == set(spans)
    times = [t for row in signals for t in row.t_ns]
    assert len(times) == counts.samples
    assert times == sorted(set(times))
    assert all(found.clock.on_grid(t) for t in times)


def test_the_same_video_gives_the_same_bytes(world, tmp_path):
    for name in "ab":
        scan(world[1], tmp_path / name)
    for name in ("shots", "scenes", "keyframes", "signals"):
        assert (tmp_path / f"a/{name}.parquet").read_bytes() == (tmp_path / f"b/{name}.parquet").read_bytes()


def set_of(number, lean):
    """A still of a set: coarse shapes; `lean` moves the camera a little."""
    coarse = np.random.default_rng(number).integers(0, 255, (5, 8, 3)).astype(np.uint8)
    whole = cv2.resize(coarse, (328, 184), interpolation=cv2.INTER_CUBIC)
    return whole[lean : lean + 180, lean : lean + 320]


def write_film(path, numbers, *, frames=40):
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for k in range(len(numbers) * frames):
            picture = set_of(numbers[k // frames], (k // 12) % 5)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize("detector", ["learned", "adaptive"])
def test_shot_and_reverse_shot_of_a_film_are_one_scene(tmp_path, detector):
    path = write_film(tmp_path / "a.mp4", [1, 2, 1, 2, 3, 4, 4])
    plan = replace(PLAN, shots=ShotsConfig(detector=detector))
    found, counts, shots, _, _ = scan(path, tmp_path / "out", plan)
    scenes = list(read_table(tmp_path / "out/scenes.parquet", Scene))
    assert [shot.start_frame for shot in shots] == [0, 40, 80, 120, 160, 200]
    assert [(scene.start_frame, scene.end_frame) for scene in scenes] == [(0, 160), (160, 200), (200, 280)]
    assert (counts.scenes, scenes[-1].end_ns) == (3, found.clock.end_ns)
    assert [breaches for _, breaches in scene_breaches(scenes, shots)] == [[]] * 3
    assert scenes[0].embedder == SIGNATURE
    # Nothing is near at 0, and nobody is alone at 2.
    for threshold, count in ((0.0, 6), (2.0, 1)):
        _, counts, *_ = scan(
            path, tmp_path / f"at {threshold}", replace(plan, scenes=ScenesConfig(signature=threshold))
        )
        assert counts.scenes == count


class Counting:
    """An encoder that remembers how many pictures came at a time."""

    def __init__(self, encoder):
        self.embedder, self.batch, self.calls = encoder.embedder, encoder.batch, []
        self._encoder = encoder

    def encode(self, pictures):
        self.calls.append(len(pictures))
        return self._encoder.encode(pictures)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_videos_that_share_batches_have_the_tables_of_videos_that_do_not(world, tmp_path):
    encoder = Counting(load_encoder(ClipConfig(model=TINY)))
    jobs = []
    for name, together in (("alone", False), ("together", True)):
        encoder.calls.clear()
        found = [probe(path) for path in world]
        jobs = [
            ScanJob(
                path,
                video(f"v{k}", rotation_deg=0, width=one.width, height=one.height),
                one.clock,
                tmp_path / name / str(k),
            )
            for k, (path, one) in enumerate(zip(world, found, strict=True))
        ]
        for job in jobs:
            job.to.mkdir(parents=True)
        if together:
            counts = scan_videos(jobs, plan=PLAN, encoder=encoder)
            # Full batches, the last one aside.
            assert encoder.calls[:-1] == [encoder.batch] * (len(encoder.calls) - 1)
            candidates, cuts = (
                sum(count) for count in zip(*[(c.candidates, c.shots - 1) for c in counts], strict=True)
            )
            # And the two sides of each transition.
            assert candidates <= sum(encoder.calls) <= candidates + 2 * cuts
        else:
            for job in jobs:
                scan_videos([job], plan=PLAN, encoder=encoder)
            assert len(encoder.calls) >= len(jobs)
    for job in jobs:
        for path in sorted(job.to.iterdir()):
            assert path.read_bytes() == (tmp_path / "alone" / job.to.name / path.name).read_bytes(), path
        assert len(list(job.to.iterdir())) == 4


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_videos_are_scanned(tmp_path, frames):
    draw_video(tmp_path / "a.mp4", VideoSpec(frames=frames))
    _, counts, shots, keyframes, _ = scan(tmp_path / "a.mp4", tmp_path / "out")
    assert [(shot.start_frame, shot.end_frame) for shot in shots] == [(0, frames)]
    assert counts.keyframes == len(keyframes) >= 1
    assert counts.samples >= 1


def test_long_videos_come_in_several_stretches(tmp_path):
    draw_long(tmp_path / "a.mp4", LongSpec(minutes=2, size=(160, 120)))
    _, counts, shots, _, signals = scan(tmp_path / "a.mp4", tmp_path / "out")
    assert [row.ordinal for row in signals] == list(range(len(signals)))
    assert len(signals) == -(-counts.samples // SAMPLES_PER_STRETCH) > 1
    assert len(shots) >= 5


def test_a_file_that_lost_frames_since_it_was_indexed_is_an_error(tmp_path):
    long, short = tmp_path / "long.mp4", tmp_path / "short.mp4"
    draw_video(long, VideoSpec(frames=30))
    draw_video(short, VideoSpec(frames=20))
    (tmp_path / "out").mkdir()
    with pytest.raises(VideoError, match="10 of 30 frames"):
        scan_video(short, video(), probe(long).clock, plan=PLAN, encoder=SignatureEncoder(), to=tmp_path / "out")


class Forgetful:
    """PyAV, but a frame in the middle never comes, and nobody says so."""

    def scan(self, path, clock, *, size, cores, exact):
        return (frame for frame in pyav.scan(path, clock, size=size, cores=cores, exact=exact) if frame.index != 7)


class Asked:
    """PyAV that remembers whether it was asked for exact pictures."""

    def __init__(self):
        self.exact = []

    def scan(self, path, clock, *, size, cores, exact):
        self.exact.append(exact)
        return pyav.scan(path, clock, size=size, cores=cores, exact=exact)


def test_a_pass_and_a_search_for_shots_want_no_exact_pictures(tmp_path, monkeypatch):
    draw_video(tmp_path / "a.mp4", VideoSpec(frames=20))
    asked = Asked()
    monkeypatch.setitem(DECODERS, "pyav", asked)
    scan(tmp_path / "a.mp4", tmp_path / "out")
    transitions_in(Look(tmp_path / "a.mp4", ShotsConfig(), 128))
    assert asked.exact == [False, False]


def test_a_decoder_that_drops_a_frame_without_a_word_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setitem(DECODERS, "pyav", Forgetful())
    draw_video(tmp_path / "a.mp4", VideoSpec(frames=20))
    with pytest.raises(VideoError, match="19 frames came, expected the index's 20"):
        scan(tmp_path / "a.mp4", tmp_path / "out")


PEAK = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from datasets_build.perception.keyframes import KeyframesConfig
from tests.perception.test_scan import PLAN, scan
plan = replace(PLAN, keyframes=KeyframesConfig(mode=sys.argv[3]))
scan(Path(sys.argv[1]), Path(sys.argv[2]), plan)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_does_not_grow_with_the_length_of_the_video(tmp_path):
    peaks = {}
    # At ten frames a second the pictures on standby reach back two minutes.
    for minutes in (4, 60):
        path = tmp_path / f"{minutes}.mp4"
        draw_long(path, LongSpec(minutes=minutes))
        for mode in ("online", "offline"):
            command = [sys.executable, "-c", PEAK, str(path), str(tmp_path / f"{mode}{minutes}"), mode]
            # As the workers of a run are started.
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, env={**os.environ, **ENVIRONMENT}
            )
            peaks[mode, minutes] = int(done.stdout)
    for mode in ("online", "offline"):
        assert peaks[mode, 60] <= 1.10 * peaks[mode, 4], f"peak KiB: {peaks}"
