"""From packed rows and what their grids show to batches of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from models.positions import SECOND_NS
from recipes.data.batch import Batch, Decisions, Sights
from recipes.data.example import STATES, Example, GridRef
from recipes.data.rows import Format, Row, pack_row
from recipes.errors import RecipeError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """What a grid shows.

    Attributes:
        pixels: uint8 (2, height, width, 3), for the tower; None where the features are known.
        features: (tokens, width * parts), deepstack parts side by side; None where the tower must encode.
        thumbnail: float32 (k,), a small picture less its mean; says how much changes from grid to grid.
        content: digest of the pixels; equal pictures are encoded once.
    """

    pixels: Tensor | None
    features: Tensor | None
    thumbnail: Tensor
    content: bytes


def collate(rows: Sequence[Sequence[Example]], shown: Mapping[GridRef, Shown], how: Format) -> list[Batch]:
    """One batch of all rows that are seen whole, then the windows of each document that carries its cache on.

    Args:
        rows: the examples of each row; one in windows stands alone in its row.
        shown: what their grids show: of all of them pixels, or of all of them features.
        how: the format.

    Raises:
        RecipeError: as `pack_row`, or no rows.
    """
    if not rows:
        raise RecipeError("collate: found no rows; expected at least one")
    packed = [pack_row(row, how) for row in rows]
    whole = [row for row in packed if not row.cuts]
    batches = [_batch(whole, shown, how)] if whole else []
    for row in packed:
        if row.cuts:
            batches += _windows(_batch([row], shown, how), row)
    return batches


def _batch(rows: Sequence[Row], shown: Mapping[GridRef, Shown], how: Format) -> Batch:
    length = max(len(row.token_ids) for row in rows)
    most = max(len(row.sees) for row in rows) + 1
    said_before = [0, *accumulate(len(row.said) for row in rows)]
    documents_before = [0, *accumulate(len(row.examples) for row in rows)]
    said = [item for row in rows for item in row.said]
    answer = torch.cat([row.answer + before for row, before in zip(rows, said_before, strict=False)])
    owner = torch.cat([row.document_of + before for row, before in zip(rows, documents_before, strict=False)])
    document = owner[answer]
    examples = [example for row in rows for example in row.examples]
    sources = tuple(sorted({example.source for example in examples}))
    source = torch.tensor([sources.index(example.source) for example in examples], dtype=torch.int64)
    rivals, utilities, worded = _rivals(examples)
    decides = torch.cat([row.decides for row in rows])
    weights = torch.cat([row.weights for row in rows])
    return Batch(
        keys=tuple(tuple(example.key for example in row.examples) for row in rows),
        token_ids=torch.stack([_padded(row.token_ids, length, how.pad_id) for row in rows]),
        positions=torch.stack([_padded(row.positions, length, 0) for row in rows], dim=1),
        past=0,
        carries=False,
        block_of=torch.stack([_padded(row.block_of, length, len(row.sees)) for row in rows]),
        sees=torch.stack([_square(row.sees, most) for row in rows]),
        visual=torch.stack([_padded(row.visual, length, 0) for row in rows]),
        sights=_sights([grid for row in rows for grid in row.grids], shown, how),
        rows=torch.cat([row.rows + k * length for k, row in enumerate(rows)]),
        targets=torch.cat([row.targets for row in rows]),
        weights=weights.masked_fill(decides, 0.0),
        answer=answer,
        said_at_s=_seconds([item.t_ns for item in said])[answer],
        evidence_s=_seconds([item.evidence_ns for item in said])[answer],
        source=source[document],
        sources=sources,
        decisions=_decisions(examples, answer, decides.nonzero()[:, 0], weights=weights, shown=shown, tau=how.tau),
        twins=_twins(examples, answer),
        rivals=rivals,
        utilities=utilities,
        worded=worded,
        document=document,
        text=~decides,
        tokens=sum(len(row.token_ids) for row in rows),
    )


def _padded(values: Tensor, length: int, fill: int) -> Tensor:
    """The last side filled up to a length."""
    padded = values.new_full((*values.shape[:-1], length), fill)
    padded[..., : values.shape[-1]] = values
    return padded


def _square(sees: Tensor, size: int) -> Tensor:
    """Visibility of a row's blocks, and of its padding, which sees and is seen by itself alone."""
    square = torch.zeros(size, size, dtype=torch.bool)
    square[: len(sees), : len(sees)] = sees
    return square


def _seconds(times: Sequence[int | None]) -> Tensor:
    """Times in seconds, None as infinity: float64."""
    return torch.tensor([float("inf") if t_ns is None else t_ns / SECOND_NS for t_ns in times], dtype=torch.float64)


def _sights(grids: Sequence[GridRef], shown: Mapping[GridRef, Shown], how: Format) -> Sights:
    """What the visual tokens show, each content once, in the order in which it is first met."""
    first: dict[bytes, int] = {}
    unique: list[Shown] = []
    for grid in grids:
        if shown[grid].content not in first:
            first[shown[grid].content] = len(unique)
            unique.append(shown[grid])
    pixels = [seen.pixels for seen in unique if seen.pixels is not None]
    features = [seen.features for seen in unique if seen.features is not None]
    if len(pixels) not in (0, len(unique)) or len(pixels) + len(features) != len(unique):
        raise RecipeError(f"sights: {len(pixels)} of {len(unique)} grids have pixels, expected all or none")
    shapes = tuple(how.frames.grid(int(frames.shape[1]), int(frames.shape[2])) for frames in pixels)
    merge = how.frames.merge
    tokens = [rows * columns // merge**2 for rows, columns in shapes] or [len(part) for part in features]
    starts = [0, *accumulate(tokens)]
    places = [torch.arange(*span) for span in pairwise(starts)]
    return Sights(
        patches=torch.cat([how.frames.patchify(frames) for frames in pixels]) if pixels else torch.empty(0, 0),
        shapes=shapes,
        features=torch.cat(features) if features else torch.empty(0, 0),
        tokens=tuple(tokens),
        order=torch.cat([places[first[shown[grid].content]] for grid in grids])
        if grids
        else torch.empty(0, dtype=torch.int64),
    )


def _decisions(
    examples: Sequence[Example],
    answer: Tensor,
    at: Tensor,
    *,
    weights: Tensor,
    shown: Mapping[GridRef, Shown],
    tau: float,
) -> Decisions:
    """The rows `at` which is decided: `answer` (S,) is what each row says among all that the examples say."""
    said = [(k, item) for k, example in enumerate(examples) for item in example.said]
    taken = [said[place] for place in answer[at].tolist()]
    worse = {example.rival.key for example in examples if example.rival is not None}
    pictures = [
        shown[examples[k].grids[item.grid]].thumbnail if item.grid >= 0 else torch.zeros(0) for k, item in taken
    ]
    still = [
        following[0] == decided[0] and _alike(now, later, tau)
        for (decided, following), (now, later) in zip(pairwise(taken), pairwise(pictures), strict=True)
    ]
    return Decisions(
        at=at,
        states=torch.tensor([STATES.index(item.state or "respond") for _, item in taken], dtype=torch.int64),
        document=torch.tensor([k for k, _ in taken], dtype=torch.int64),
        segment=torch.tensor([item.segment for _, item in taken], dtype=torch.int64),
        time_s=_seconds([item.t_ns for _, item in taken]),
        evidence_s=_seconds([item.evidence_ns for _, item in taken]),
        window_s=_seconds([item.window_end_ns for _, item in taken]),
        learned=torch.tensor([examples[k].key not in worse for k, _ in taken], dtype=torch.bool),
        weight=weights[at],
        still=torch.tensor([*still, False][: len(taken)], dtype=torch.bool),
    )


def _alike(now: Tensor, later: Tensor, tau: float) -> bool:
    if now.shape != later.shape or not len(now):
        return False
    return bool(torch.cosine_similarity(now, later, dim=0) > 1 - tau) or torch.equal(now, later)


def _twins(examples: Sequence[Example], answer: Tensor) -> Tensor:
    """Rows that say the same word one grid apart: int64 (k, 2)."""
    pairs = []
    before = 0
    for example in examples:
        for place, item in enumerate(example.said):
            if item.twin >= 0:
                now = (answer == before + place).nonzero()[:, 0]
                later = (answer == before + item.twin).nonzero()[:, 0]
                if len(now) != len(later):
                    raise RecipeError(f"example {example.key}: twins of {len(now)} and {len(later)} tokens")
                pairs.append(torch.stack([now, later], dim=1))
        before += len(example.said)
    return torch.cat(pairs) if pairs else torch.empty(0, 2, dtype=torch.int64)


def _rivals(examples: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Documents of chosen and rejected traces, their utilities, each (p, 2), and whether they differ in words (p,)."""
    place = {example.key: k for k, example in enumerate(examples)}
    pairs = [(example, example.rival) for example in examples if example.rival is not None]
    lone = [rival.key for _, rival in pairs if rival.key not in place]
    if lone:
        raise RecipeError(f"rivals {lone}: not in the batch; put both traces of a pair into one batch")
    documents = [(place[chosen.key], place[rival.key]) for chosen, rival in pairs]
    worth = [(chosen.utility, rival.utility) for chosen, rival in pairs]
    return (
        torch.tensor(documents, dtype=torch.int64).reshape(-1, 2),
        torch.tensor(worth, dtype=torch.float64).reshape(-1, 2),
        torch.tensor([_is_worded(chosen, rival) for chosen, rival in pairs], dtype=torch.bool),
    )


def _is_worded(chosen: Example, rival: Example) -> bool:
    """Whether the worse trace says what the better one never says, or says it of other pictures.

    One that says the same too early, too late, twice or not at all has nothing wrong in its words.
    """
    words, others = (
        {(item.text, item.state) for item in example.said if item.asked}
        | {(item.text, "respond") for item in example.said if item.text}
        for example in (chosen, rival)
    )
    return not others <= words or chosen.grids != rival.grids


def _windows(batch: Batch, row: Row) -> list[Batch]:
    """One row cut at its windows: each sees the keys and values of those before it, and learns what it says itself."""
    borders = [0, *row.cuts, len(row.token_ids)]
    windows = []
    for begin, end in pairwise(borders):
        inside = (batch.rows >= begin) & (batch.rows < end)
        kept = inside[batch.decisions.at]
        new = inside.cumsum(0) - 1
        shown = int(batch.visual[0, :begin].sum()), int(batch.visual[0, :end].sum())
        twins = batch.twins[inside[batch.twins].all(dim=1)]
        windows.append(
            replace(
                batch,
                token_ids=batch.token_ids[:, begin:end],
                positions=batch.positions[:, :, begin:end],
                past=begin,
                carries=end < len(row.token_ids),
                block_of=batch.block_of[:, :end],
                visual=batch.visual[:, begin:end],
                sights=_some(batch.sights, *shown),
                rows=batch.rows[inside] - begin,
                targets=batch.targets[inside],
                weights=batch.weights[inside],
                answer=batch.answer[inside],
                said_at_s=batch.said_at_s[inside],
                evidence_s=batch.evidence_s[inside],
                source=batch.source[inside],
                decisions=_chosen(batch.decisions, kept, new),
                twins=new[twins],
                document=batch.document[inside],
                text=batch.text[inside],
                tokens=end - begin,
            )
        )
    return windows


def _chosen(decisions: Decisions, kept: Tensor, new: Tensor) -> Decisions:
    """Some of the decisions; the last one of a window has nobody behind it."""
    still = decisions.still[kept]
    if len(still):
        still[-1] = False
    return Decisions(
        at=new[decisions.at[kept]],
        states=decisions.states[kept],
        document=decisions.document[kept],
        segment=decisions.segment[kept],
        time_s=decisions.time_s[kept],
        evidence_s=decisions.evidence_s[kept],
        window_s=decisions.window_s[kept],
        learned=decisions.learned[kept],
        weight=decisions.weight[kept],
        still=still,
    )


def _some(sights: Sights, begin: int, end: int) -> Sights:
    """What the visual tokens [begin, end) show, with no grid that none of them needs."""
    order = sights.order[begin:end]
    starts = [0, *accumulate(sights.tokens)]
    needed = [k for k, (first, stop) in enumerate(pairwise(starts)) if bool(((order >= first) & (order < stop)).any())]
    moved = torch.zeros(starts[-1], dtype=torch.int64)
    at = 0
    for k in needed:
        moved[starts[k] : starts[k + 1]] = torch.arange(at, at + sights.tokens[k])
        at += sights.tokens[k]
    sizes = [0, *accumulate(rows * columns for rows, columns in sights.shapes)]
    patches = [sights.patches[sizes[k] : sizes[k + 1]] for k in needed] if sights.shapes else []
    features = [] if sights.shapes else [sights.features[starts[k] : starts[k + 1]] for k in needed]
    return Sights(
        patches=torch.cat(patches) if patches else torch.empty(0, 0),
        shapes=tuple(sights.shapes[k] for k in needed) if sights.shapes else (),
        features=torch.cat(features) if features else torch.empty(0, 0),
        tokens=tuple(sights.tokens[k] for k in needed),
        order=moved[order],
    )
