"""The tiny CLIP that ships: it loads as any other, says what it does not know, and reacts to what is in the picture."""

import json
import shutil
from dataclasses import replace
from random import Random

import cv2
import numpy as np
import open_clip
import pytest

from datasets_build.perception.clip import (
    SIGNATURE,
    TINY,
    TINY_FOLDER,
    ClipConfig,
    SignatureEncoder,
    load_encoder,
    weights_digest,
    weights_note,
)
from datasets_build.perception.keyframes import KeyframesConfig
from datasets_build.perception.perceive import PerceiveConfig
from datasets_build.perception.standby import shrink
from datasets_build.perception.tiny_clip_figures import measure
from datasets_build.sources.world_shapes import COLOURS, OUTLINES
from datasets_build.sources.world_stills import place, still_of, write_still

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
SCENES = 24
THINGS, DISTURBANCES = ("new", "gone", "colour"), ("dim", "bright", "noise", "shake")


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(ClipConfig(model=TINY))


def lit(picture, factor):
    return np.clip(picture.astype(np.float32) * factor, 0, 255).astype(np.uint8)


def noisy(picture, rng):
    return np.clip(picture + rng.normal(0, 10, picture.shape), 0, 255).astype(np.uint8)


def shaken(picture, share):
    """The view moved by a share of its size, both ways."""
    height, width = picture.shape[:2]
    matrix = np.array([[1, 0, share * width], [0, 1, share * height]], np.float32)
    return cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def scenes(count=SCENES):
    """Pictures by what became of them: a list each of drawn scenes of one to three shapes, before and after."""
    rng, noise = Random(7), np.random.default_rng(0)
    shown = {name: [] for name in ("before", *THINGS, *DISTURBANCES, "shape")}
    while len(shown["before"]) < count:
        still = write_still(rng)
        script, names = still.script, set(still.names)
        actors, ground = script.scenes[0].actors, script.scenes[0].backdrop
        size = {"width": script.width, "height": script.height}
        new = place(rng, actors, colours=tuple(COLOURS), **size)
        if not 1 <= len(actors) <= 3 or new is None or f"{new.colour} {new.kind}" in names:
            continue
        first, *rest = actors
        colour = rng.choice([one for one in COLOURS if one != first.colour])
        kind = rng.choice([one for one in OUTLINES if one != first.kind])
        casts = {
            "before": actors,
            "new": (*actors, new),
            "gone": tuple(rest),
            "colour": (replace(first, colour=colour), *rest),
            "shape": (replace(first, kind=kind), *rest),
        }
        for name, cast in casts.items():
            shown[name].append(still_of(cast, ground, **size).draw())
        picture = shown["before"][-1]
        shown["dim"].append(lit(picture, 0.65))
        shown["bright"].append(lit(picture, 1.25))
        shown["noise"].append(noisy(picture, noise))
        shown["shake"].append(shaken(picture, rng.choice((-0.04, 0.04))))
    return {name: [shrink(picture, 224) for picture in pictures] for name, pictures in shown.items()}


def distances(encoder):
    """How far each picture went from its scene as it was: 1 - cosine, by what became of it."""
    shown = scenes()
    before = encoder.encode(shown["before"])
    return {name: 1 - (encoder.encode(shown[name]) * before).sum(axis=1) for name in shown if name != "before"}


@pytest.fixture(scope="module")
def far(encoder):
    return distances(encoder)


def test_it_reacts_to_a_thing_and_not_to_light_noise_or_shaking(far):
    novelty = KeyframesConfig().threshold
    for thing in THINGS:
        assert np.mean(far[thing] > novelty) >= 0.8, thing
        for disturbance in DISTURBANCES:
            assert np.median(far[thing]) > 5 * np.median(far[disturbance]), (thing, disturbance)
    for disturbance in DISTURBANCES:
        assert np.mean(far[disturbance] < novelty) >= 0.9, disturbance


def test_the_signature_reacts_to_light_and_shaking_as_to_a_thing():
    far = distances(SignatureEncoder())
    novelty = KeyframesConfig().threshold
    for disturbance in ("dim", "shake"):
        assert np.mean(far[disturbance] > novelty) >= 0.5, disturbance
        assert np.median(far[disturbance]) > 0.4 * np.median(far["new"]), disturbance


def test_its_weights_are_small_and_their_folder_is_whole():
    sizes = {path.name: path.stat().st_size for path in TINY_FOLDER.iterdir()}
    names = {"figures.json", "open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"}
    assert set(sizes) == names | {"tokenizer_config.json"}
    assert sum(sizes.values()) < 8 * 2**20


def test_it_says_what_it_does_not_know(encoder):
    assert encoder.embedder.name == "tiny-clip-of-drawn-shapes"
    assert "knows nothing of real video" in weights_note(ClipConfig(model=TINY))
    assert weights_note(ClipConfig()) == ""


def test_a_copy_elsewhere_is_the_same_model_and_says_the_same(encoder, tmp_path):
    shutil.copytree(TINY_FOLDER, tmp_path / "copy")
    config = ClipConfig(model=f"local-dir:{tmp_path / 'copy'}")
    copy = load_encoder(config)
    assert copy.embedder.weights_sha256 == encoder.embedder.weights_sha256
    assert copy.embedder.preprocess_sha256 == encoder.embedder.preprocess_sha256
    assert weights_note(config) == weights_note(ClipConfig(model=TINY))
    assert weights_digest(config) == weights_digest(ClipConfig(model=TINY))
    picture = write_still(Random(0)).draw()
    assert np.array_equal(copy.encode([picture]), encoder.encode([picture]))


def test_it_is_never_what_serves_without_being_named():
    assert PerceiveConfig().clip.model == ""
    assert load_encoder(PerceiveConfig().clip).embedder == SIGNATURE


def test_its_text_reads_through_open_clip_and_finds_the_picture(encoder):
    model = open_clip.create_model(f"local-dir:{TINY_FOLDER}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{TINY_FOLDER}")
    texts = ["A red circle.", "A blue circle.", "A red circle and a blue circle.", "An empty picture."]
    words = model.encode_text(tokenizer(texts), normalize=True).detach().numpy()
    rng = Random(1)
    found = []
    for names in (["red"], ["blue"], ["red", "blue"], []):
        still = write_still(rng)
        while sorted(still.names) != sorted(f"{name} circle" for name in names):
            still = write_still(rng, names or tuple(COLOURS))
        (vector,) = encoder.encode([still.draw()])
        found.append(int(np.argmax(words @ vector)))
    assert found == [0, 1, 2, 3]


@pytest.mark.slow
def test_the_published_figures_are_those_of_the_weights():
    published = json.loads((TINY_FOLDER / "figures.json").read_text())
    settings, told = published["settings"], published["figures"]
    found = measure(TINY_FOLDER, count=settings["held"], seed=settings["seed"])
    for side in ("image_to_text_r1", "image_to_text_r5", "text_to_image_r1", "text_to_image_r5"):
        # One picture of them may fall otherwise on another machine.
        assert abs(getattr(found.retrieval, side) - told["retrieval"][side]) <= 1.5 / settings["held"]
        assert told["retrieval"][side] > 10 * told["retrieval"]["chance_" + side[-2:]]
    for change in ("colour", "shape", "number", "place"):
        assert abs(getattr(found.pairs, change) - told["pairs"][change]) <= 1.5 / settings["held"]
    assert told["pairs"]["colour"] > 0.95
    assert told["pairs"]["number"] > 0.8
