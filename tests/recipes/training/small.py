"""Tiny models of the three families, hand-made examples and their batches."""

from dataclasses import replace
from functools import cache

import torch

from models.backbone import MODEL_CLASSES, family_of
from models.blocks import Block, Kind
from models.layouts import LAYOUTS
from models.patches import FrameFormat
from models.positions import Clock, Grid
from models.tiny import byte_tokenizer, special, tiny_config, tiny_processor
from recipes.data.collate import Shown, collate
from recipes.data.example import Example, GridRef, Said
from recipes.data.rows import Format
from recipes.learner import Learner
from recipes.losses.settings import (
    AnswerLoss,
    ConsistencyLoss,
    DecisionLoss,
    InteractionLoss,
    LatencyLoss,
    Losses,
    Ramp,
)
from recipes.settings import MadeConfig, ModuleConfig, ModulesConfig
from recipes.training.modules import freeze
from recipes.training.objective import Objective, Wording

# A model from nothing that is made in no time.
MADE = MadeConfig(
    vocabulary=320,
    layers=2,
    width=32,
    heads=2,
    key_value_heads=1,
    mlp=32,
    vision_depth=2,
    vision_width=32,
    vision_mlp=32,
)
SECOND = 1_000_000_000
STATES = ("silence", "standby", "respond")
DECISION_IDS = tuple(special(f"<|{state}|>") for state in STATES)
END = special("<|im_end|>")
COUNTS = (30, 5, 10)
WHOLE = ModulesConfig(
    vision=ModuleConfig(train="full", lr=1e-3),
    merger=ModuleConfig(train="full", lr=1e-3),
    language=ModuleConfig(train="full", lr=1e-3),
    head=ModuleConfig(train="full", lr=1e-3),
)
ALL_LOSSES = Losses(
    answer=AnswerLoss(chunk=7),
    decision=DecisionLoss(kind="focal"),
    consistency=ConsistencyLoss(decisions=0.5, tokens=0.25, features=0.05, calm=0.1, ramp=Ramp()),
    latency=LatencyLoss(form="survival", delay=0.5),
    interaction=InteractionLoss(weight=0.7),
)


def model_of(family="qwen2_5_vl", *, tied=False, seed=5):
    config = tiny_config(family)
    config.tie_word_embeddings = tied
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODEL_CLASSES[family](config)


def objective_of(family="qwen2_5_vl", losses=ALL_LOSSES, *, modules=WHOLE, tied=False, seed=5, checkpointing=False):
    model = model_of(family, tied=tied, seed=seed)
    freeze(model, modules, seed=0)
    wording = Wording(decision_ids=DECISION_IDS, end_id=END)
    return Objective(Learner(model, checkpointing=checkpointing), losses, counts=COUNTS, wording=wording).train()


@cache
def format_of(family="qwen2_5_vl"):
    found = family_of(tiny_config(family))
    return Format(
        layout=LAYOUTS["branch"],
        clock=found.clock if isinstance(found.clock, Clock) else Clock(),
        frames=FrameFormat.from_processor(tiny_processor(family), found),
        decision_ids=DECISION_IDS,
        pad_id=special("<|endoftext|>"),
    )


@cache
def _ids(text):
    return tuple(_tokenizer()(text, add_special_tokens=False)["input_ids"])


@cache
def _tokenizer():
    return byte_tokenizer()


@cache
def _video_id(family):
    return tiny_config(family).video_token_id


def decided(second, state, text="", **more):
    """A decision after a grid and its block."""
    start = (special("<|im_start|>"), *_ids("a"))
    words = (*_ids(text), END) if text else ()
    token_ids = (*start, special(f"<|{state}|>"), *words)
    t_ns = int(second * SECOND)
    block = Block(
        kind=Kind.DECISION,
        t0_ns=t_ns,
        t1_ns=t_ns,
        token_ids=token_ids,
        learn=(len(start), len(token_ids)),
    )
    return block, Said(t_ns=t_ns, task="tell", text=text, state=state, **more)


def asked(second, question, text, **more):
    """A question and its answer."""
    t_ns = int(second * SECOND)
    start = (special("<|im_start|>"), *_ids("a"))
    token_ids = (*start, *_ids(text), END)
    query = Block(kind=Kind.QUERY, t0_ns=t_ns, t1_ns=t_ns, token_ids=(*_ids(question), END))
    reply = Block(kind=Kind.REPLY, t0_ns=t_ns, t1_ns=t_ns, token_ids=token_ids, learn=(len(start), len(token_ids)))
    return (query, reply), Said(t_ns=t_ns, task="ask", text=text, asked=True, **more)


def example(key="a", *, family="qwen2_5_vl", video="v", grids=3, states=None, text="yes", utility=0.0):
    """A film with a question before it, a decision after each grid of one second, and a question at the end."""
    states = states or ("silence",) * (grids - 1) + ("respond",)
    (query, reply), answer = asked(0, "q", text)
    begin = Block(kind=Kind.SYSTEM, t0_ns=0, t1_ns=0, token_ids=_ids("s"))
    blocks, said, refs = [begin, query, reply], [answer], []
    for k, state in enumerate(states):
        ref = GridRef(video_id=video, t0_ns=k * SECOND, t1_ns=k * SECOND + SECOND // 2)
        refs.append(ref)
        pads = (_video_id(family),) * 4
        grid = Grid(start=0, height=2, width=2, t_ns=k * SECOND)
        blocks.append(
            Block(
                kind=Kind.FRAMES,
                t0_ns=k * SECOND,
                t1_ns=(k + 1) * SECOND,
                token_ids=pads,
                grids=(grid,),
                feature=ref.key,
            )
        )
        responds = states.index("respond") if "respond" in states else -1
        block, item = decided(
            k + 1,
            state,
            text if state == "respond" else "",
            grid=k,
            segment=0 if k < grids - 1 else 1,
            evidence_ns=responds * SECOND if responds >= 0 else None,
            window_end_ns=(responds + 2) * SECOND if responds >= 0 else None,
        )
        blocks.append(block)
        said.append(item)
    return Example(
        key=key,
        source="realtime" if grids % 2 else "captions",
        video_id=video,
        blocks=tuple(blocks),
        grids=tuple(refs),
        said=tuple(said),
        utility=utility,
    )


def with_twin(made):
    """The same with one more question, answered twice in the same words, one grid apart."""
    first, one = asked(made.said[-1].t_ns / SECOND + 0.25, "w", "ab", grid=1)
    second, two = asked(made.said[-1].t_ns / SECOND + 0.75, "w", "ab", grid=2)
    blocks = (*made.blocks, *first, *second)
    place = len(made.said)
    return replace(made, blocks=blocks, said=(*made.said, replace(one, twin=place + 1), two))


def pair(key="p", **more):
    """Two traces of one film, the better first."""
    worse = example(f"{key}/worse", states=("respond", "silence", "silence"), text="no", utility=0.1, **more)
    better = replace(example(f"{key}/better", utility=0.9, **more), rival=worse)
    return better, worse


def in_windows(made):
    """The same example, carried over windows of one grid."""
    frames = [k for k, block in enumerate(made.blocks) if block.kind is Kind.FRAMES]
    return replace(made, cuts=tuple(frames[1:]))


def shown_of(examples, *, seed=0):
    """Random pictures of all that examples show, the same for the same grid."""
    shown = {}
    for ref in {ref: None for made in examples for ref in made.grids}:
        name = f"{seed}/{ref.key}".encode()
        chance = torch.Generator().manual_seed(int.from_bytes(name[-7:], "big"))
        pixels = torch.randint(0, 256, (2, 16, 16, 3), generator=chance, dtype=torch.uint8)
        thumbnail = torch.randn(8, generator=chance) * 0.01 + torch.arange(8.0)
        shown[ref] = Shown(pixels=pixels, features=None, thumbnail=thumbnail, content=name)
    return shown


def batches_of(rows, *, family="qwen2_5_vl"):
    """Batches of rows of examples."""
    return collate(rows, shown_of([made for row in rows for made in row]), format_of(family))
