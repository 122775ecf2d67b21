"""Small backbones of the three families, a tokenizer that merges, and blocks to feed them."""

from functools import cache

import torch
from transformers import Qwen2Tokenizer

from models.backbone import MODEL_CLASSES, Backbone
from models.blocks import Block, Kind
from models.positions import Grid
from models.tiny import SPECIAL_TOKENS, byte_tokenizer, tiny_config

FAMILIES = tuple(MODEL_CLASSES)
SECOND = 1_000_000_000


@cache
def backbone(family="qwen2_5_vl", *, attention="sdpa", dtype=torch.float32):
    """The same random weights every time; nobody may change them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = MODEL_CLASSES[family](tiny_config(family))
    model.set_attn_implementation(attention)
    return Backbone(model.to(dtype))


def text_block(count, *, kind=Kind.QUERY, t_ns=0, first=10):
    return Block(kind=kind, t0_ns=t_ns, t1_ns=t_ns, token_ids=tuple(range(first, first + count)))


def frames_block(t_ns, *, video_id=9, height=2, width=2, before=0):
    pads = (5,) * before + (video_id,) * (height * width)
    grid = Grid(start=before, height=height, width=width, t_ns=t_ns)
    return Block(kind=Kind.FRAMES, t0_ns=t_ns, t1_ns=t_ns + SECOND, token_ids=pads, grids=(grid,))


@cache
def merging_tokenizer():
    """The tokenizer of Qwen, its way of splitting text included, with a few merges; one ends inside a character."""
    letters = byte_tokenizer().backend_tokenizer.get_vocab()
    vocab = {text: place for text, place in letters.items() if place < 256}
    merges = []
    # Ċ, Ġ and Ã are the bytes of a new line, of a space and the first one of é.
    for pair in ("Ċ Ċ", "Ġ Ġ", "s e", "u se", "use r", "e c", "ec o", "eco n", "econ d", "econd s", "Ġ s", "Ġs econds",
                 "T O", "P Ã", "TO P", "Ġ h", "0 .", "> <"):  # fmt: skip
        left, right = pair.split(" ")
        vocab[left + right] = len(vocab)
        merges.append((left, right))
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=merges, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS)})
    tokenizer.chat_template = byte_tokenizer().chat_template
    return tokenizer
