"""Conversations that were imported, in an augmented video: moved where nothing of it changes, else told in a row."""

import json

import pytest

from augment.errors import AugmentError
from augment.settings import Reverse, Skip, Speed
from datasets_build.checks.check import CheckConfig, run_checks
from datasets_build.core.layout import dataset_rows
from datasets_build.core.records import Dialogue
from datasets_build.formats.importing import ImportConfig, import_file
from tests.augment.folders import applied, drawn, maps_of
from tests.builders.made import write_out

SLOW = Speed(low=0.8, high=0.8)


def imported(folder, name="mmduet", **more):
    """A folder of two drawn videos with a conversation over each."""
    out = folder / "out"
    write_out(out, [drawn(out / "videos", f"clip-{k}", seconds=6, seed=k) for k in range(2)])
    lines = [
        {"role": "user", "content": "What moves?", "time": 1},
        {"role": "assistant", "content": "A ball.", "time": 2.5, "timespan": [2, 3]},
        {"role": "user", "content": "And now?", "time": 4},
        {"role": "assistant", "content": "A bird.", "time": 4.5},
    ]
    lines[1] |= more
    rows = [{"video_uid": f"clip-{k}", "conversation": lines} for k in range(2)]
    (folder / "rows.json").write_text(json.dumps(rows))
    import_file(folder / "rows.json", out, ImportConfig(format=name))
    return out


def talks(out):
    return list(dataset_rows(out, "dialogue/dialogues", Dialogue))


def test_a_conversation_moves_with_its_video_and_everybody_speaks_as_fast_as_before(tmp_path):
    out = imported(tmp_path)
    applied(out, tmp_path / "more", SLOW)
    before = {row.id: row for row in talks(out)}
    after = talks(tmp_path / "more")
    assert len(after) == len(before) == 2
    for row in after:
        parent = before[row.provenance.inputs[0]]
        assert [turn.text for turn in row.turns] == [turn.text for turn in parent.turns]
        for old, new in zip(parent.turns, row.turns, strict=True):
            # A frame's time at 0.8 of the speed, up to a frame.
            assert abs(new.start_ns - old.start_ns * 1.25) < 60_000_000
            assert new.end_ns - new.start_ns >= old.end_ns - old.start_ns - 1
        ids = {turn.id for turn in row.turns}
        assert {turn.trigger_ref for turn in row.turns if turn.role == "assistant"} <= ids
        assert row.turns[1].evidence[0].event_id in row.provenance.inputs
        assert not ids & {turn.id for turn in parent.turns}


def test_what_is_moved_breaks_no_law(tmp_path):
    applied(imported(tmp_path), tmp_path / "more", SLOW)
    result = run_checks(tmp_path / "more", CheckConfig())
    assert [law.name for law in result.laws if law.broken] == [], result.violations[:3]


@pytest.mark.parametrize(
    ("operation", "more", "why"),
    [
        (Reverse(), {}, "not all of its video is shown, once and forwards"),
        (Skip(form="random", share=0.5), {}, "not all of its video is shown, once and forwards"),
        (SLOW, {"content": "It took 3 seconds."}, "its words speak of time"),
    ],
)
def test_what_may_be_false_is_left_out_and_told(tmp_path, operation, more, why):
    out = imported(tmp_path, **more)
    with pytest.raises(AugmentError, match=f"nothing is left for dialogue: it was imported, and ({why})"):
        applied(out, tmp_path / "more", operation)
    assert not (tmp_path / "more" / "dialogue" / "manifest.json").exists()


def test_the_maps_name_the_parent(tmp_path):
    out = imported(tmp_path)
    applied(out, tmp_path / "more", SLOW)
    assert {row.invalidated for row in maps_of(tmp_path / "more")} == {()}
