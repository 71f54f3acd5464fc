"""What inference_speed measures: texts, programs, and what is expected of them."""

import dataclasses
from typing import Any

BILM, SIMPLE_ELMO = "bilm", "simple-elmo"
PEERS = {BILM: {"program": "bilm"}, SIMPLE_ELMO: {"program": "simple_elmo"}}
MINILM = "all-MiniLM-L6-v2"  # an encoder of another kind, for the scale
SENTENCES, WORDS = 2000, 20
FLOAT32, BFLOAT16 = "keras_elmo, float32", "keras_elmo, bfloat16 products"
RECURRENT = "keras_elmo, bfloat16 recurrent weights"
APART = "keras_elmo, float32, each batch by itself"
CACHE = "keras_elmo, float32, each batch by itself, token cache"
CACHED = "50,000 words"  # stands for the file of the commonest words
_FILE_ORDER, _SORTED = "in file order", "sorted by length"


@dataclasses.dataclass
class Work:
    """One text through one model.

    Attributes:
        model: A key of `CONFIGS`.
        rows: What of `timed_inference`'s SPEC all programs share.
        ways: By name what is special to a program.
        peers: Names of those ways that are not compared with others.
        references: Groups of ways; others are compared with the fastest of each.
        targets: By name of a way the least ratio of its speed to the first group's.
    """

    model: str
    rows: dict[str, Any]
    ways: dict[str, dict[str, Any]]
    peers: list[str]
    references: list[list[str]]
    targets: dict[str, float]


def _ours(dtype, batch_tokens, cache=None, recurrent_dtype=None, remembers=False):
    return {
        "program": "keras_elmo",
        "dtype": dtype,
        "recurrent_dtype": recurrent_dtype,
        "batch_tokens": batch_tokens,
        "cache": cache,
        "remembers": remembers,
    }


def _rows(model, batch, limit, float32, bfloat16=None, recurrent=None):
    """Rows of exactly 20 consecutive words, of which no batch remembers any."""
    tokens, peers = batch * WORDS, list(PEERS)
    ways = PEERS | {FLOAT32: _ours("float32", tokens)}
    targets = {FLOAT32: float32}
    if bfloat16 is not None:
        ways = ways | {BFLOAT16: _ours("mixed_bfloat16", tokens)}
        targets[BFLOAT16] = bfloat16
    if recurrent is not None:
        ours = _ours("float32", tokens, recurrent_dtype="bfloat16")
        ways = ways | {RECURRENT: ours}
        targets[RECURRENT] = recurrent
    rows = {"words": WORDS, "limit": limit, "batch": batch}
    return Work(model, rows, ways, peers, [peers], targets)


def _sentences(model, float32, bfloat16):
    """Sentences as they come."""
    ways = {
        f"{name}, {order}": program | {"sort": order == _SORTED}
        for order in (_FILE_ORDER, _SORTED)
        for name, program in PEERS.items()
    }
    peers = list(ways)
    groups = [
        [way for way in peers if way.endswith(order)]
        for order in (_FILE_ORDER, _SORTED)
    ]
    ways |= {
        name: _ours(dtype, 2048, remembers=True)
        for name, dtype in ((FLOAT32, "float32"), (BFLOAT16, "mixed_bfloat16"))
    }
    ways |= {MINILM: {"program": "minilm"}}
    rows = {"words": 0, "limit": SENTENCES, "batch": 32}
    targets = {FLOAT32: float32, BFLOAT16: bfloat16}
    return Work(model, rows, ways, peers, groups, targets)


def _cached_sentences(model, cached):
    """Sentences as they come, by ours alone."""
    ways = {
        APART: _ours("float32", 2048),
        CACHE: _ours("float32", 2048, CACHED),
        FLOAT32: _ours("float32", 2048, remembers=True),
    }
    rows = {"words": 0, "limit": SENTENCES, "batch": 32}
    return Work(model, rows, ways, [APART], [[APART]], {CACHE: cached})


WORKS = {
    "original, 32 x 20": _rows("original", 32, 1280, 1.7, 3.2),
    "original, 128 x 20": _rows("original", 128, 2560, 1.8, 3.5),
    "small, 32 x 20": _rows("small", 32, 5120, 2.0, 2.5),
    "small, 128 x 20": _rows("small", 128, 5120, 2.5, 3.5),
    "original, 1 x 20": _rows("original", 1, 400, 1.7, recurrent=2.5),
    "small, 1 x 20": _rows("small", 1, 400, 1.4),
    "original, sentences": _sentences("original", 6.0, 11.0),
    "small, sentences": _cached_sentences("small", 1.5),
}
# What of `original, 32 x 20` is compared by its memory too, above that of the imports.
MEMORY_WORK = "original, 32 x 20"
MOST_MEMORY = {SIMPLE_ELMO: 1 / 3, BILM: 1.0}
