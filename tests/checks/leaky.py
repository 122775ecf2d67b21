"""A good folder of a dozen videos with pictures, and ways to plant leaks in all of its questions or dialogues."""

import io
import random
from contextlib import suppress

import numpy as np
from PIL import Image

from datasets_build.builders.build import build_dialogue, build_events, build_streaming_qa
from datasets_build.builders.dialogue import DialogueConfig
from datasets_build.builders.events import EventsConfig
from datasets_build.builders.streaming_qa import StreamingQAConfig
from datasets_build.checks.balance import BalanceConfig
from datasets_build.checks.blind import BlindConfig
from datasets_build.checks.check import CheckConfig
from datasets_build.core.perceived import Keyframe
from datasets_build.core.records import Answer, Dialogue, Split, StreamingQA
from datasets_build.core.table import read_table
from tests.builders.made import lively, write_out
from tests.checks.planted import edit, within

QA, TALK = "streaming_qa/qa", "dialogue/dialogues"
SPLITS: tuple[Split, ...] = ("train", "train", "train", "validation", "train", "test")
VIDEOS = 12
STREAMING_QA = StreamingQAConfig(per_minute=120.0)
DIALOGUE = DialogueConfig(per_minute=30.0)
CONFIG = CheckConfig(
    blind=BlindConfig(warn=(), least_items=12, least_groups=4),
    balance=BalanceConfig(least_items=10, least_groups=4, first_reply=0.5),
)
BUILDS = {
    "events": lambda out: build_events(out, EventsConfig()),
    "streaming_qa": lambda out: build_streaming_qa(out, STREAMING_QA),
    "dialogue": lambda out: build_dialogue(out, DIALOGUE),
}


def picture(seed, *, size=(64, 48), lighter=0, quality=90):
    """A JPEG of soft hills of light, others for another seed; `lighter` as an encoder or a player may make it."""
    coarse = np.random.default_rng(seed).integers(20, 220, (5, 7), np.uint8)
    soft = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    levels = np.clip(np.asarray(soft, np.int16) + lighter, 0, 255).astype(np.uint8)
    made = io.BytesIO()
    Image.fromarray(levels).save(made, "JPEG", quality=quality)
    return made.getvalue()


def recoded(jpeg):
    """A picture as another encoder makes it: smaller, lighter, of lower quality."""
    small = Image.open(io.BytesIO(jpeg)).convert("L").resize((48, 36))
    made = io.BytesIO()
    lighter = np.clip(np.asarray(small, np.int16) + 12, 0, 255).astype(np.uint8)
    Image.fromarray(lighter).save(made, "JPEG", quality=60)
    return made.getvalue()


def with_pictures(scene, seed):
    """The scene, whose keyframes show something."""
    scene.keyframes = [
        row.model_copy(update={"jpeg": picture(1000 * seed + k)}) for k, row in enumerate(scene.keyframes)
    ]
    return scene


def good_folder(folder, *, videos=VIDEOS):
    """Lively videos of all splits with questions and dialogues."""
    scenes = [
        with_pictures(within(lively(f"film-{k:05}", seconds=30, seed=k, split=SPLITS[k % len(SPLITS)])), k)
        for k in range(videos)
    ]
    out = write_out(folder, scenes)
    for build in BUILDS.values():
        build(out)
    return out


def change_all(out, table, model, change):
    """Put `change(row, k)` in the place of every record of a dataset, None takes it away; all splits."""
    for path in sorted((out / table).glob("*.parquet")):
        edit(
            out, f"{table}/{path.name}", model, lambda rows: [new for k, r in enumerate(rows) if (new := change(r, k))]
        )


def questions(change):
    """A planted fault in all questions."""
    return lambda out: change_all(out, QA, StreamingQA, change)


def dialogues(change):
    """A planted fault in all dialogues."""
    return lambda out: change_all(out, TALK, Dialogue, change)


def one_question(wanted, **update):
    """A planted fault in the first question that is wanted."""
    return one(f"{QA}/train.parquet", StreamingQA, wanted, **update)


def one(file, model, wanted, **update):
    """A planted fault in the first record of a file that is wanted; values may be functions of the record."""

    def plant(out):
        def change(rows):
            k = next(k for k, row in enumerate(rows) if wanted(row))
            fields = {name: value(rows[k]) if callable(value) else value for name, value in update.items()}
            return [*rows[:k], rows[k].model_copy(update=fields), *rows[k + 1 :]]

        edit(out, file, model, change)

    return plant


def one_turn(wanted, **update):
    """A planted fault in the first turn that is wanted, of the first dialogue that has one."""

    def turns(row):
        made = list(row.turns)
        k = next(k for k, turn in enumerate(made) if wanted(turn))
        fields = {name: value(made[k]) if callable(value) else value for name, value in update.items()}
        return (*made[:k], made[k].model_copy(update=fields), *made[k + 1 :])

    return one(f"{TALK}/train.parquet", Dialogue, lambda row: any(map(wanted, row.turns)), turns=turns)


def answers(text):
    """Answers with other words: `text` is one, or a function of the record."""
    return lambda row: tuple(
        answer.model_copy(update={"text": text(row) if callable(text) else text}) for answer in row.answers
    )


def said(row, text):
    """A question with other words in its answers."""
    return row.model_copy(update={"answers": answers(text)(row)})


def freed(row):
    """A question without options."""
    return row.model_copy(update={"options": (), "correct_option": None})


def is_verdict(row):
    """Whether a question is answered with yes or no."""
    return row.answers[0].text.casefold().startswith(("yes", "no"))


def choice(right, wrong, place):
    """A change that makes each question of the task `before` one of four options, and no other one of options.

    `right(row, rng)` and `wrong(row, rng, k)` give the words, `place(row, rng)` says where the right one stands.
    """

    def change(row, _):
        if row.task != "before" or row.unanswerable:
            return freed(row)
        rng = random.Random(row.id)
        at, gold = place(row, rng), right(row, rng)
        options = [wrong(row, rng, k) for k in range(3)]
        options.insert(at, gold)
        return said(row, gold).model_copy(update={"options": tuple(options), "correct_option": at})

    return questions(change)


def answer_at(row, delay_ns, length_ns):
    """The question with one answer so long after it."""
    start = row.ask_ns + delay_ns
    made = Answer(text="Now.", t_ns=start, window_start_ns=start, window_end_ns=start + length_ns)
    return row.model_copy(update={"answers": (made,)})


def words(rng, least=3, most=8):
    """Nonsense of some words."""
    return " ".join("".join(rng.choices("bdfgklmnprstv", k=4)) for _ in range(rng.randint(least, most)))


def pictures_of(out, source, target, change=lambda jpeg: jpeg):
    """Give a video, by its place in the index, the pictures of another."""
    file = "perceive/keyframes.parquet"
    rows = list(read_table(out / file, Keyframe))
    names = list(dict.fromkeys(row.video_id for row in rows))
    donor = [row.jpeg for row in rows if row.video_id == names[source]]

    def swap(all_rows):
        made, k = [], 0
        for row in all_rows:
            if row.video_id == names[target]:
                with suppress(IndexError):
                    row = row.model_copy(update={"jpeg": change(donor[k])})
                k += 1
            made.append(row)
        return made

    edit(out, file, Keyframe, swap)
