"""Rows and batches: each supervised row predicts its token, and packing, windows and features change no result."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import NOT_LEARNED, derive
from models.transcript import Reply, Sight, Transcript
from recipes.data.batch import Batch
from recipes.data.collate import Shown, collate
from recipes.data.example import Example, GridRef, Said
from recipes.data.rows import pack_row
from recipes.errors import RecipeError
from recipes.learner import Learner
from recipes.losses.decisions import row_weights
from tests.models.small import backbone
from tests.recipes.data.lessons import DECISIONS, SECOND, gradient, how, writer


def grid_of(k, video="v"):
    return GridRef(video_id=video, t0_ns=2 * k * SECOND, t1_ns=(2 * k + 1) * SECOND)


class Film:
    """An example written line by line."""

    def __init__(self, key="a", *, video="v", layout="branch"):
        ours = writer(layout)
        self.key, self.video = key, video
        self.said, self.grids, self.cuts = [], [], []
        self.transcript = Transcript(
            ours.prompts, ours.layout, system_prompt=ours.system_prompt, decision_tokens=DECISIONS
        )

    def see(self, *, cut=False):
        if cut:
            self.cuts.append(len(self.transcript.blocks()))
        grid = grid_of(len(self.grids), self.video)
        self.transcript.see(Sight(t0_ns=grid.t0_ns, last_ns=grid.t1_ns, height=2, width=2, feature=grid.key))
        self.grids.append(grid)
        self.now = grid.t1_ns
        return self

    def ask(self, text, *, aside=True, learn=True, twin=-1, state=None, **more):
        self.transcript.ask("Q?", Reply(text=text, learn=learn, state=state), t_ns=self.now, aside=aside)
        return self._note(text, learn, state=state, asked=True, twin=twin, **more)

    def decide(self, state, text="", **more):
        reply = Reply(text=text) if state == "respond" else None
        self.transcript.decide(state, reply=reply)
        return self._note(text, True, state=state, **more)

    def _note(self, text, learn, **more):
        if learn:
            fields = {"t_ns": self.now + 1, "task": "t", "grid": len(self.grids) - 1} | more
            self.said.append(Said(text=text, **fields))
        return self

    def done(self, **more):
        return Example(
            key=self.key,
            source=more.pop("source", "made"),
            video_id=self.video,
            blocks=self.transcript.blocks(),
            grids=tuple(self.grids),
            said=tuple(self.said),
            cuts=tuple(self.cuts),
            **more,
        )


def some_film(key="a", *, video="v", aside=True, cuts=(), layout="branch"):
    film = Film(key, video=video, layout=layout)
    for k in range(5):
        film.see(cut=k in cuts)
        film.decide(*(("respond", f"It is {k}.") if k == 2 else ("standby",) if k == 1 else ("silence",)))
        film.ask(f"Grid {k}", aside=aside)
    return film.done()


def shown_of(*examples, features=False):
    """Random pictures; or, the tower's features of them."""
    found = {}
    for example in examples:
        for grid in example.grids:
            seed = grid.t0_ns // SECOND + 1000 * (grid.video_id == "w")
            pixels = gradient(16, 16, seed=seed)
            kept = None
            if features:
                form, tower = how().frames, Learner(backbone().model).tower
                (out,) = tower.encode([form.patchify(pixels)], [form.grid(16, 16)])
                kept = torch.cat([out.embeds, *out.deepstack], dim=-1).clone()
            found[grid] = Shown(
                pixels=None if features else pixels,
                features=kept,
                thumbnail=pixels[1, :4, :4].flatten().float() - 127,
                content=str((grid.video_id, grid.t0_ns)).encode(),
            )
    return found


def states_of(batches: list[Batch]):
    """The hidden states of all supervised rows, cache carried, in the order of the batches."""
    learner = Learner(backbone().model)
    found, cache = [], None
    with torch.no_grad():
        for batch in batches:
            seen = learner(batch, cache if batch.past else None)
            cache = seen.cache
            found.append(seen.hidden)
    return torch.cat(found)


@pytest.mark.parametrize("layout", ["branch", "interleave", "group", "gap", "overlap_shared", "origin", "batch"])
def test_each_supervised_row_predicts_its_token(layout):
    example = some_film(layout=layout)
    row = pack_row([example], how(layout))
    assert torch.equal(row.token_ids[row.rows + 1], row.targets)
    context = derive(example.blocks, how(layout).layout, clock=how(layout).clock)
    assert sorted(row.targets.tolist()) == sorted(context.labels[context.labels != NOT_LEARNED].tolist())
    words = [bytes_of(row.targets[row.answer == k]) for k in range(len(row.said))]
    assert words == [said.text for said in row.said]


def bytes_of(ids):
    return writer().prompts.tokenizer.decode(ids.tolist(), skip_special_tokens=True)


def test_decisions_after_a_grid_stand_apart_from_words():
    row = pack_row([some_film()], how())
    assert int(row.decides.sum()) == 5
    (batch,) = collate([[some_film()]], shown_of(some_film()), how())
    assert torch.equal(batch.weights, (~row.decides).float())
    assert set(row.targets[row.decides].tolist()) == set(DECISIONS)
    # A decision token with which a reply to a question begins is a word like others.
    film = Film().see().ask("", state="standby").done()
    asked = pack_row([film], how())
    assert not bool(asked.decides.any())
    assert asked.targets[0] == DECISIONS[1]


def test_a_reply_whose_end_is_fed_later_is_one_thing_said():
    film = Film()
    film.see()
    late = Sight(t0_ns=4 * SECOND, last_ns=4 * SECOND, height=2, width=2, feature="v/4000000000/4000000000")
    film.transcript.ask("Q?", Reply(text="Yes."), t_ns=4 * SECOND, waiting=late)
    film.grids.append(GridRef(video_id="v", t0_ns=4 * SECOND, t1_ns=4 * SECOND))
    film.said.append(Said(t_ns=4 * SECOND + 1, task="t", text="Yes.", asked=True, grid=1))
    example = film.done()
    assert sum(block.learn is not None for block in example.blocks) == 2
    row = pack_row([example], how())
    assert bytes_of(row.targets) == "Yes."
    assert row.answer.tolist() == [0] * len(row.targets)


def test_examples_that_contradict_themselves_are_refused():
    example = some_film()
    with pytest.raises(RecipeError, match="expected each of its grids, in order"):
        replace(example, grids=example.grids[:-1])
    with pytest.raises(RecipeError, match="found 9 things said, expected 10"):
        replace(example, said=example.said[:-1])
    with pytest.raises(RecipeError, match="found neither text nor state"):
        Said(t_ns=0, task="t")


def test_one_in_windows_stands_alone():
    cut = some_film(aside=False, cuts=(2, 4))
    with pytest.raises(RecipeError, match="stands alone"):
        pack_row([cut, some_film("b")], how())
    assert len(pack_row([cut], how()).cuts) == 2


def test_packed_rows_are_what_they_are_alone():
    one, two, three = some_film("a"), some_film("b", video="w"), some_film("c", aside=False)
    shown = shown_of(one, two, three)
    packed = states_of(collate([[one, two], [three]], shown, how()))
    alone = [states_of(collate([[each]], shown, how())) for each in (one, two, three)]
    assert torch.allclose(packed, torch.cat(alone), atol=1e-4)


def test_a_carried_cache_is_what_one_forward_sees():
    whole = some_film(aside=False)
    cut = some_film(aside=False, cuts=(1, 3))
    shown = shown_of(whole)
    (one,), windows = collate([[whole]], shown, how()), collate([[cut]], shown, how())
    assert [batch.past > 0 for batch in windows] == [False, True, True]
    assert [batch.carries for batch in windows] == [True, True, False]
    assert sum(batch.tokens for batch in windows) == one.tokens
    targets = torch.cat([batch.targets for batch in windows])
    assert torch.equal(targets, one.targets)
    assert torch.allclose(states_of(windows), states_of([one]), atol=1e-4)
    said = torch.cat([batch.answer for batch in windows])
    assert torch.equal(said, one.answer)
    assert sum(len(batch.decisions.at) for batch in windows) == len(one.decisions.at)
    for batch in windows:
        assert torch.equal(batch.targets[batch.decisions.at] == DECISIONS[2], batch.decisions.states == 2)


def test_features_give_what_pixels_give():
    example = some_film()
    pixels = states_of(collate([[example]], shown_of(example), how()))
    known = states_of(collate([[example]], shown_of(example, features=True), how()))
    assert torch.allclose(pixels, known, atol=1e-4)


def test_a_picture_that_comes_twice_is_encoded_once():
    one, two = some_film("a"), some_film("b")
    (batch,) = collate([[one], [two]], shown_of(one, two), how())
    assert len(batch.sights.tokens) == 5
    assert len(batch.sights.order) == 2 * 5 * 4
    half = len(batch.sights.order) // 2
    assert torch.equal(batch.sights.order[:half], batch.sights.order[half:])


def test_padding_sees_itself_alone_and_nobody_sees_it():
    long, short = some_film("a"), Film("b").see().ask("x").done()
    (batch,) = collate([[long], [short]], shown_of(long), how())
    mask = batch.mask(torch.float32)[1, 0]
    pads = batch.token_ids.shape[1] - short.tokens
    assert pads > 0
    assert bool((mask[: short.tokens, short.tokens :] < 0).all())
    assert bool((mask[short.tokens :, : short.tokens] < 0).all())
    assert bool((mask.diagonal() == 0).all())
    assert bool(torch.isfinite(states_of([batch])).all())


def test_twins_are_rows_of_the_same_words():
    film = Film().see().ask("Blue.", twin=1).see().ask("Blue.").done()
    (batch,) = collate([[some_film("b"), film]], shown_of(some_film("b"), film), how())
    assert len(batch.twins) == len("Blue.") + 1
    assert torch.equal(batch.targets[batch.twins[:, 0]], batch.targets[batch.twins[:, 1]])
    uneven = Film().see().ask("Blue.", twin=1).see().ask("Red.").done()
    with pytest.raises(RecipeError, match="twins of 6 and 5 tokens"):
        collate([[uneven]], shown_of(uneven), how())


def test_rivals_are_found_by_their_keys():
    worse = some_film("worse")
    better = replace(some_film("better"), rival=worse, utility=2.0)
    shown = shown_of(better, worse)
    (batch,) = collate([[some_film("x"), better, worse]], shown, how())
    assert batch.rivals.tolist() == [[1, 2]]
    assert batch.utilities.tolist() == [[2.0, 0.0]]
    assert batch.worded.tolist() == [False]
    assert set(batch.document.tolist()) == {0, 1, 2}
    # The worse trace teaches by comparison alone.
    assert torch.equal(batch.decisions.learned, batch.decisions.document != 2)
    with pytest.raises(RecipeError, match="not in the batch"):
        collate([[better]], shown, how())


def test_what_the_losses_need_stands_with_each_row():
    film = Film("a").see().decide("silence", segment=1, evidence_ns=5 * SECOND, window_end_ns=9 * SECOND)
    film.see().decide("respond", "Now.", segment=2, evidence_ns=3 * SECOND)
    example = film.done()
    (batch,) = collate([[example]], shown_of(example), how())
    assert batch.decisions.segment.tolist() == [1, 2]
    assert batch.decisions.states.tolist() == [0, 2]
    assert batch.decisions.evidence_s.tolist() == [5.0, 3.0]
    assert batch.decisions.window_s.tolist() == [9.0, float("inf")]
    assert batch.decisions.time_s.tolist() == [1.000000001, 3.000000001]
    assert batch.sources == ("made",)
    assert batch.text.tolist() == [False, False] + [True] * (len("Now.") + 1)


def test_still_pictures_are_told_from_changing_ones():
    film = Film("a")
    for _ in range(3):
        film.see().decide("silence")
    example = film.done()
    same = {grid: replace(seen, thumbnail=torch.ones(12)) for grid, seen in shown_of(example).items()}
    (batch,) = collate([[example]], same, how())
    # The last one has nobody behind it.
    assert batch.decisions.still.tolist() == [True, True, False]
    other = dict(same)
    other[example.grids[1]] = replace(same[example.grids[1]], thumbnail=-torch.ones(12))
    (batch,) = collate([[example]], other, how())
    assert batch.decisions.still.tolist() == [False, False, False]
    (two,) = collate([[example, replace(example, key="b")]], same, how())
    assert two.decisions.still.tolist() == [True, True, False] * 2


def test_half_of_the_grids_with_pixels_is_refused():
    example = some_film()
    mixed = shown_of(example) | {example.grids[0]: shown_of(example, features=True)[example.grids[0]]}
    with pytest.raises(RecipeError, match="expected all or none"):
        collate([[example]], mixed, how())
    with pytest.raises(RecipeError, match="found no rows"):
        collate([], {}, how())


def test_a_batch_moves_whole():
    example = some_film()
    (batch,) = collate([[example]], shown_of(example), how())
    moved = batch.to(torch.device("cpu"))
    assert torch.equal(moved.token_ids, batch.token_ids)
    assert torch.equal(moved.sights.order, batch.sights.order)


@given(st.lists(st.sampled_from(["see", "silence", "aside", "stay"]), min_size=2, max_size=12))
@settings(max_examples=12)
def test_any_film_keeps_its_words_in_order(moves):
    film = Film().see()
    for number, move in enumerate(moves):
        if move == "see":
            film.see()
        elif move == "silence":
            film.decide("silence")
        else:
            film.ask(f"{number}", aside=move == "aside")
    example = film.ask("end").done()
    row = pack_row([example], how())
    assert [bytes_of(row.targets[row.answer == k]) for k in range(len(row.said))] == [s.text for s in example.said]
    assert len(row.token_ids) == example.tokens


@pytest.mark.parametrize("cuts", [(), (1,)])
def test_a_record_counts_as_much_as_it_says_in_its_words_and_in_its_decisions(cuts):
    film = Film("a").see().decide("silence").see(cut=1 in cuts)
    reply = Reply(text="Now.", loss_weight=0.5)
    film.transcript.decide("respond", reply=reply, loss_weight=0.5)
    film._note("Now.", True, state="respond")
    example = film.see().decide("standby").done()
    batches = collate([[example]], shown_of(example), how())
    assert len(batches) == 1 + len(cuts)
    decisions = torch.cat([batch.decisions.weight for batch in batches])
    assert decisions.tolist() == [1.0, 0.5, 1.0]
    words = torch.cat([batch.weights[batch.text] for batch in batches])
    assert words.tolist() == [0.5] * (len("Now.") + 1)
    states = torch.cat([row_weights(batch.decisions, torch.tensor([1.0, 2.0, 4.0])) for batch in batches])
    assert states.tolist() == [1.0, 2.0, 2.0]


def test_decisions_move_whole():
    one, two = some_film("worse"), some_film("b")
    (batch,) = collate([[replace(two, rival=one), one]], shown_of(one, two), how())
    there = batch.decisions.to(torch.device("cpu"))
    for field in fields(batch.decisions):
        assert torch.equal(getattr(there, field.name), getattr(batch.decisions, field.name))


def trace(key, *states, text="Now.", asked="Yes.", state=None, video="v"):
    """One decision after each grid, and a question behind the second one."""
    film = Film(key, video=video)
    for place, decided in enumerate(states):
        film.see().decide(decided, text if decided == "respond" else "")
        if place == 1:
            film.ask(asked, aside=False, state=state)
    return film.done()


@pytest.mark.parametrize(
    ("worse", "worded"),
    [
        ({"states": ("respond", "silence", "silence", "silence")}, False),
        ({"states": ("silence", "silence", "silence", "respond")}, False),
        ({"states": ("silence", "silence", "respond", "respond")}, False),
        ({"states": ("silence",) * 4}, False),
        ({"text": "Later."}, True),
        ({"asked": "No."}, True),
        # Who is asked and is silent says something else; so does who begins with another sign.
        ({"asked": "", "state": "silence"}, True),
        ({"state": "standby"}, True),
        ({"video": "w"}, True),
    ],
)
def test_a_pair_differs_in_words_or_in_timing_alone(worse, worded):
    states = ("silence", "silence", "respond", "silence")
    better = trace("better", *states)
    rival = trace("worse", *worse.pop("states", states), **worse)
    pair = [replace(better, rival=rival, utility=1.0), rival]
    (batch,) = collate([pair], shown_of(better, rival), how())
    assert batch.worded.tolist() == [worded]
