"""Arguments of the commands that train, for runs of a second."""

from tests.helpers import GOLDEN

LM = GOLDEN / "lm"
CONFIG = {
    "lstm": {"dim": 12, "projection_dim": 6, "n_layers": 1, "cell_clip": 3},
    "char_cnn": {
        "activation": "relu",
        "embedding": {"dim": 4},
        "filters": [[1, 4], [2, 4]],
        "max_characters_per_token": 12,
        "n_highway": 1,
    },
}


def arguments(run, **others):
    """What `pretrain` and `finetune` both take."""
    chosen = {
        "train": LM / "tr*n.txt",
        "heldout": LM / "test.txt",
        "out": run,
        "batch": 3,
        "unroll": 4,
        "negatives": 8,
        **others,
    }
    pairs = ([f"--{key.replace('_', '-')}", str(chosen[key])] for key in chosen)
    return [item for pair in pairs for item in pair]
