"""`keras-elmo pretrain`, with the times of its reports written to a file.

    python timed_pretrain.py POINTS.json --train ... (all that `pretrain` takes)

POINTS.json is a list of [steps done, seconds]. A report that came after a validation
is left out.
"""

import json
import sys
import time

from keras_elmo.cli import main
from keras_elmo.pretraining import train


def noting(pretrain, points):
    """`pretrain`, but it adds a point at each report."""

    def noted(*args, **kwargs):
        for progress in pretrain(*args, **kwargs):
            if progress.heldout is None:
                points.append([progress.step, time.perf_counter()])
            yield progress

    return noted


if __name__ == "__main__":
    points = []
    train.pretrain = noting(train.pretrain, points)
    code = main(["pretrain", *sys.argv[2:]])
    with open(sys.argv[1], "w") as file:
        json.dump(points, file)
    sys.exit(code)
