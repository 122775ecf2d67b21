import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import Qwen2_5OmniProcessor, Qwen2VLVideoProcessor
from transformers.models.qwen2_vl.video_processing_qwen2_vl import smart_resize as resize_of_2
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as resize_of_3

from models.backbone import family_of
from models.errors import FrameError, SettingsError
from models.patches import OMNI_FRAME_TOKENS, FrameFormat
from models.tiny import tiny_config, tiny_processor
from tests.laws import examples
from tests.models.watched import FAMILIES, tiny_format

SIZES = [(16, 24), (40, 56), (37, 51), (5, 90), (200, 130), (8, 8), (3, 4), (64, 64)]


@pytest.fixture(scope="module")
def processors():
    return {family: tiny_processor(family) for family in FAMILIES}


@pytest.fixture(scope="module")
def formats():
    return {family: tiny_format(family) for family in FAMILIES}


def drawn(height, width, seed=0):
    return torch.randint(
        0, 256, (2, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def stock(processor, frames):
    video = frames.permute(0, 3, 1, 2).contiguous()
    out = processor.video_processor([video], do_sample_frames=False, cap_pixels_per_frame=False, return_tensors="pt")
    return out["pixel_values_videos"], tuple(out["video_grid_thw"][0].tolist())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", SIZES)
def test_patches_are_those_of_the_stock_processor_bit_for_bit(processors, formats, family, size):
    frames = drawn(*size)
    expected, grid = stock(processors[family], frames)
    assert (1, *formats[family].grid(*size)) == grid
    patches = formats[family].patchify(frames)
    assert patches.dtype == torch.float32
    assert torch.equal(patches, expected)
    assert formats[family].tokens(*size) == len(expected) // 4


@pytest.mark.parametrize("family", FAMILIES)
def test_smooth_pictures_too(processors, formats, family):
    ramp = torch.linspace(0, 255, 70).round().to(torch.uint8)
    frames = torch.stack([ramp[:, None, None].expand(70, 90, 3), ramp[:, None, None].expand(70, 90, 3).flip(0)])
    assert torch.equal(formats[family].patchify(frames), stock(processors[family], frames)[0])


def test_the_order_of_the_patches_is_token_by_token():
    # Each pixel of the first frame says where it is; nothing is resized or normalised away.
    form = FrameFormat(
        patch=2, merge=2, temporal=2, mean=(0, 0, 0), std=(1, 1, 1), rescale=1.0, min_pixels=1, max_pixels=4096
    )
    frames = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    frames[0, :, :, 0] = torch.arange(64, dtype=torch.uint8).reshape(8, 8)
    first_pixels = form.patchify(frames)[:, 0].int().tolist()
    assert first_pixels == [0, 2, 16, 18, 4, 6, 20, 22, 32, 34, 48, 50, 36, 38, 52, 54]


@settings(max_examples=examples(50))
@given(height=st.integers(1, 3000), width=st.integers(1, 3000), low=st.integers(1, 200_000), more=st.integers(1, 10**6))
def test_the_size_is_that_of_smart_resize(height, width, low, more):
    assume(max(height, width) <= 100 * min(height, width))
    low, high = 2 * low, 2 * (low + more + 28 * 28)
    two = FrameFormat(
        patch=14, merge=2, temporal=2, mean=(0, 0, 0), std=(1, 1, 1), rescale=1.0, min_pixels=low, max_pixels=high
    )
    rows, columns = two.grid(height, width)
    assert (rows * 14, columns * 14) == resize_of_2(height, width, 28, low, high)
    # Qwen3-VL counts both frames of the grid: half the bounds for each.
    three = replace(two, min_pixels=low // 2, max_pixels=high // 2, enlarge=True)
    rows, columns = three.grid(height, width)
    assert (rows * 14, columns * 14) == resize_of_3(2, height, width, 2, 28, low, high)


@settings(max_examples=examples(50))
@given(height=st.integers(1, 2000), width=st.integers(1, 2000), enlarge=st.booleans())
def test_a_grid_is_whole_tokens_and_keeps_to_the_bounds(height, width, enlarge):
    assume(max(height, width) <= 50 * min(height, width))
    form = FrameFormat(
        patch=14, merge=2, temporal=2, mean=(0, 0, 0), std=(1, 1, 1), rescale=1.0,
        min_pixels=4 * 28**2, max_pixels=100 * 28**2, enlarge=enlarge,
    )  # fmt: skip
    rows, columns = form.grid(height, width)
    assert rows % 2 == columns % 2 == 0
    assert min(rows, columns) >= 2
    assert rows * columns * 14**2 >= 4 * 28**2
    # One side may be a single token, which cannot shrink.
    assert rows * columns * 14**2 <= 100 * 28**2 or min(rows, columns) == 2


def test_arrays_of_any_layout_are_as_good_as_tensors(formats):
    frames = drawn(24, 32)
    array = frames.numpy().copy()
    array.flags.writeable = False
    form = formats["qwen2_5_vl"]
    expected = form.patchify(frames)
    assert torch.equal(form.patchify(array), expected)
    assert torch.equal(form.patchify(frames.transpose(1, 2).contiguous().transpose(1, 2)), expected)
    assert torch.equal(form.patchify(array[:, ::-1]), form.patchify(frames.flip(1)))
    assert torch.equal(frames, torch.from_numpy(array.copy()))


def test_one_pixel_changes_one_patch(formats):
    form = replace(formats["qwen2_5_vl"], max_pixels=10**6)
    frames = drawn(40, 48)
    other = frames.clone()
    other[1, 13, 21, 2] ^= 128
    changed = (form.patchify(frames) != form.patchify(other)).any(1)
    assert changed.sum() == 1


BAD = {
    "float": (torch.zeros(2, 8, 8, 3), "torch.float32"),
    "array of floats": (np.zeros((2, 8, 8, 3)), "float64"),
    "list": ([[[[0]]]], "list"),
    "colour first": (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "colour comes last"),
    "one picture": (torch.zeros(8, 8, 3, dtype=torch.uint8), "(frames, height, width, 3)"),
    "grey": (torch.zeros(2, 8, 8, 1, dtype=torch.uint8), "colour comes last"),
    "no height": (torch.zeros(2, 0, 8, 3, dtype=torch.uint8), "no side of 0"),
    "no frames": (torch.zeros(0, 8, 8, 3, dtype=torch.uint8), "no side of 0"),
    "three frames": (torch.zeros(3, 8, 8, 3, dtype=torch.uint8), "the 2 of one grid"),
    "a line": (torch.zeros(2, 1, 201, 3, dtype=torch.uint8), "200 times"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_frames_is_refused_by_name(formats, name):
    frames, message = BAD[name]
    with pytest.raises(FrameError, match=re.escape(message)):
        formats["qwen2_5_vl"].patchify(frames)


def test_the_thinnest_frame_is_taken(formats):
    for form in formats.values():
        assert len(form.patchify(torch.zeros(2, 1, 200, 3, dtype=torch.uint8))) % 4 == 0


def test_bounds_are_per_frame_and_can_be_given(processors):
    family = family_of(tiny_config("qwen3_vl"))
    form = FrameFormat.from_processor(processors["qwen3_vl"], family)
    assert (form.min_pixels, form.max_pixels, form.enlarge) == (32, 2048, True)
    given_ = FrameFormat.from_processor(processors["qwen3_vl"], family, min_pixels=64, max_pixels=1024)
    assert given_ == replace(form, min_pixels=64, max_pixels=1024)
    rows, columns = given_.grid(500, 500)
    assert rows * columns * 16 <= 1024


def test_qwen3_caps_each_frame_as_its_own_tools_do():
    processor = tiny_processor("qwen3_vl")
    processor.video_processor.size = {"shortest_edge": 64, "longest_edge": 10**7}
    form = FrameFormat.from_processor(processor, family_of(tiny_config("qwen3_vl")))
    assert form.max_pixels == 768 * 8 * 8


def released_omni():
    """The stock processor with the patch size and the bounds of released Qwen2.5-Omni, and the family's values."""
    processor = tiny_processor("qwen2_5_omni")
    size = {"shortest_edge": 56 * 56, "longest_edge": 14 * 14 * 4 * 16384}
    processor.video_processor = Qwen2VLVideoProcessor(patch_size=14, merge_size=2, temporal_patch_size=2, size=size)
    return processor, replace(family_of(tiny_config("qwen2_5_omni")), patch=14)


@pytest.mark.parametrize(("height", "width"), [(1080, 1920), (240, 320), (64, 96), (720, 406)])
def test_frames_of_omni_are_as_large_as_in_a_stock_call(height, width):
    processor, family = released_omni()
    form = FrameFormat.from_processor(processor, family)
    video = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    made = processor(text=["<|VIDEO|>"], videos=[video], return_tensors="pt", fps=2)
    assert (1, *form.grid(height, width)) == tuple(made["video_grid_thw"][0].tolist())


def test_omni_takes_the_bounds_of_the_stock_call_unless_its_own_are_less():
    size = Qwen2_5OmniProcessor.videos_kwargs["size"]
    assert tuple(count * 28**2 for count in OMNI_FRAME_TOKENS) == (size["shortest_edge"], size["longest_edge"])
    processor, family = released_omni()
    form = FrameFormat.from_processor(processor, family)
    assert (form.min_pixels, form.max_pixels) == (128 * 28**2, 768 * 28**2)
    given_ = FrameFormat.from_processor(processor, family, min_pixels=784, max_pixels=10**7)
    assert (given_.min_pixels, given_.max_pixels) == (784, 10**7)
    processor.video_processor.size = {"shortest_edge": 784, "longest_edge": 768 * 28**2}
    assert FrameFormat.from_processor(processor, family).min_pixels == 784
    tiny = FrameFormat.from_processor(tiny_processor("qwen2_5_omni"), family_of(tiny_config("qwen2_5_omni")))
    assert (tiny.min_pixels, tiny.max_pixels) == (64, 64 * 64)


def broken(family, **fields):
    processor = tiny_processor(family)
    for name, value in fields.items():
        setattr(processor.video_processor, name, value)
    return processor


@pytest.mark.parametrize(
    ("processor", "family", "message"),
    [
        (broken("qwen2_5_vl", patch_size=14), "qwen2_5_vl", "another model"),
        (broken("qwen2_5_vl", do_normalize=False), "qwen2_5_vl", "do_normalize"),
        (broken("qwen2_5_omni", resample=2), "qwen2_5_omni", "bicubic"),
        (tiny_processor("qwen2_5_vl"), "qwen3_vl", "expected Qwen3VLVideoProcessor"),
        (tiny_processor("qwen3_vl"), "qwen2_5_vl", "expected Qwen2VLVideoProcessor"),
    ],
)
def test_a_processor_that_does_not_fit_is_refused(processor, family, message):
    with pytest.raises(SettingsError, match=message):
        FrameFormat.from_processor(processor, family_of(tiny_config(family)))


@pytest.mark.parametrize(
    "fields",
    [{"patch": 0}, {"merge": 0}, {"temporal": 0}, {"std": (1.0, 0.0, 1.0)}, {"rescale": 0.0}, {"mean": (0.0, 0.0)},
     {"min_pixels": 0}, {"min_pixels": 5000}, {"max_pixels": 63, "min_pixels": 1}],
)  # fmt: skip
def test_a_format_that_makes_no_sense_is_refused(formats, fields):
    with pytest.raises(SettingsError):
        replace(formats["qwen2_5_vl"], **fields)


def test_the_fingerprint_knows_every_field(formats):
    form = formats["qwen2_5_vl"]
    others = [
        replace(form, patch=2), replace(form, merge=1), replace(form, temporal=1), replace(form, mean=(0.0, 0.0, 0.0)),
        replace(form, std=(1.0, 1.0, 1.0)), replace(form, rescale=1.0), replace(form, min_pixels=1),
        replace(form, max_pixels=5000), replace(form, enlarge=True),
    ]  # fmt: skip
    assert len({form.fingerprint, *(other.fingerprint for other in others)}) == 10
    assert replace(form).fingerprint == form.fingerprint
