import os
import signal
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest

from datasets_build.core.records import DecoderTrust
from datasets_build.core.worker import WorkerError
from datasets_build.decoders.lanes import LANES
from datasets_build.decoders.remote import FAILURES
from datasets_build.sources.probing import (
    Check,
    Content,
    Refusal,
    Source,
    digest,
    examine,
    lost,
    probe_of,
    try_decoder,
    verdict,
    video_record,
)
from datasets_build.video import Probe
from tests.drawn import NTSC, VideoSpec, draw_video

SMALL = (96, 72)
SPECS = {
    "a.mp4": VideoSpec(frames=5, size=SMALL, b_frames=2, rate=NTSC, audio=True),
    "late.mp4": VideoSpec(frames=5, size=SMALL, start=25),
    "turned.mov": VideoSpec(frames=3, size=SMALL, rotation=90),
    "uneven.mkv": VideoSpec(durations=(1, 7, 2, 3), time_base=Fraction(1, 100), size=SMALL),
    "one.mp4": VideoSpec(frames=1, size=SMALL),
    "b.ts": VideoSpec(frames=5, size=SMALL),
}


def source_of(path) -> Source:
    content = digest(path)
    assert isinstance(content, Content)
    return Source.of("folder", path.name, path, content)


@pytest.mark.parametrize("name", list(SPECS))
def test_a_record_holds_all_that_the_probe_said(tmp_path, name):
    truth = draw_video(tmp_path / name, SPECS[name])
    source = source_of(tmp_path / name)
    probe = examine(source)
    assert isinstance(probe, Probe)
    video = video_record(source, probe, corpus="folder", licence="CC0-1.0")
    again = probe_of(video, probe.pts)
    for field in fields(Probe):
        assert np.array_equal(getattr(again, field.name), getattr(probe, field.name)), field.name
    assert (video.id, video.video_id, video.group) == (source.id, source.id, source.content.sha256)
    assert (video.uri, video.source, video.licence, video.bytes) == (
        name,
        "folder",
        "CC0-1.0",
        source.path.stat().st_size,
    )
    assert (video.n_frames, video.duration_ns) == (len(truth.pts), truth.end_ns)
    assert (video.width, video.height, video.rotation_deg) == (*truth.coded_size, truth.rotation)
    assert (
        Fraction(video.avg_fps_num, video.avg_fps_den) == Fraction(len(truth.pts) * 10**9, truth.end_ns)
        or video.is_vfr
        or (Fraction(video.avg_fps_num, video.avg_fps_den) == SPECS[name].rate)
    )


def test_the_id_follows_from_corpus_place_and_bytes(tmp_path):
    content, path = Content("aa", 1), tmp_path / "a.mp4"
    first = Source.of("folder", "a.mp4", path, content)
    assert first.id == Source.of("folder", "a.mp4", tmp_path / "elsewhere" / "a.mp4", content).id
    others = [Source.of("world", "a.mp4", path, content), Source.of("folder", "b.mp4", path, content)]
    assert first.id not in [other.id for other in (*others, Source.of("folder", "a.mp4", path, Content("bb", 1)))]


@pytest.mark.parametrize("content", [b"", b"this is no video", b"\0\0\0\x18ftypmp42\0\0\0\0"])
def test_a_refusal_names_the_file_and_not_the_machine(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    refusal = examine(source_of(tmp_path / "a.mp4"))
    assert isinstance(refusal, Refusal)
    assert refusal.code
    assert str(tmp_path) not in refusal.reason


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    refusal = digest(tmp_path / "nowhere.mp4")
    assert refusal == Refusal("unreadable", "cannot be read (No such file or directory)")


def check_of(tmp_path, decoder: str = "decord") -> Check:
    draw_video(tmp_path / "a.mp4", SPECS["a.mp4"])
    source = source_of(tmp_path / "a.mp4")
    probe = examine(source)
    assert isinstance(probe, Probe)
    np.save(tmp_path / "pts.npy", probe.pts)
    return Check(source, video_record(source, probe, corpus="folder", licence=""), tmp_path / "pts.npy", decoder, 300.0)


@pytest.mark.parametrize("decoder", ["decord", "torchcodec"])
def test_a_good_file_is_trusted_to_every_decoder(tmp_path, decoder):
    trust = try_decoder(check_of(tmp_path, decoder))
    assert (trust.name, trust.trusted) == (decoder, True), trust.reason


def test_a_decoder_that_fails_is_not_trusted_and_names_no_path(tmp_path):
    check = check_of(tmp_path)
    check.source.path.write_bytes(b"gone bad since it was probed")
    trust = try_decoder(check)
    assert not trust.trusted
    assert trust.reason
    assert str(tmp_path) not in trust.reason


def test_what_took_the_process_down_is_said_without_its_last_words(tmp_path):
    source = Source.of("folder", "a.mp4", tmp_path / "a.mp4", Content("aa", 1))
    crashed = WorkerError("crashed", "the process ended with SIGSEGV: [h264 @ 0x55d0c0ffee] error")
    assert lost(source, crashed) == Refusal("decoder_crashed", "PyAV crashed: the process ended with SIGSEGV")
    hung = WorkerError("deadline", "no result within 5 s")
    assert lost(source, hung) == Refusal("decoder_hung", "PyAV hung: no result within 5 s")
    failed = WorkerError("raised", f"RuntimeError: {tmp_path}/a.mp4: odd")
    assert lost(source, failed) == Refusal("decoder_failed", "PyAV failed: RuntimeError: a.mp4: odd")


def test_a_crash_is_a_verdict_with_a_reject_row_and_an_answer_is_one_without(tmp_path):
    check = check_of(tmp_path)
    good = verdict(check, DecoderTrust(name="decord", trusted=True), None)
    assert (good.trust.trusted, good.reject) == (True, None)
    bad = verdict(check, None, WorkerError("deadline", "no result within 60 s"))
    assert bad.trust == DecoderTrust(name="decord", trusted=False, reason="decord hung: no result within 60 s")
    assert bad.reject is not None
    assert (bad.reject.item, bad.reject.code) == ("a.mp4", "decord_hung")
    assert bad.reject.reason == "a.mp4: decord hung: no result within 60 s"
    assert "PyAV reads this file instead" in bad.reject.action


@pytest.mark.parametrize(
    ("kind", "code"), [("deadline", "decord_hung"), ("crashed", "decord_crashed"), ("raised", None)]
)
def test_a_decoder_that_lost_its_own_process_leaves_a_reject_row_too(tmp_path, kind, code):
    # `check_decoder` runs the decoder in a process of its own and gives its loss as a reason.
    trust = DecoderTrust(name="decord", trusted=False, reason=f"decord {FAILURES[kind][1]}: something")
    found = verdict(check_of(tmp_path), trust, None)
    assert found.trust == trust
    assert (found.reject and found.reject.code) == code


def test_a_hang_of_the_real_decoder_is_a_reject_row(tmp_path):
    (tmp_path / "first").mkdir()
    assert try_decoder(check_of(tmp_path / "first")).trusted
    check = replace(check_of(tmp_path), deadline_s=0.5)
    # Stopped, it cannot answer; by time alone, it might where this process is the slower one.
    os.kill(LANES.get("decord", pytest.fail).pid, signal.SIGSTOP)
    try:
        found = verdict(check, try_decoder(check), None)
    finally:
        LANES.close()
    assert not found.trust.trusted
    assert found.reject is not None
    assert found.reject.code == "decord_hung"
