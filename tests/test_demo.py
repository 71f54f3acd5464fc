"""The main job: one command, all of it, quietly."""

import re
import subprocess
import sys

import numpy as np
import pytest

from keras_elmo.demo import nearest, read_uses


def test_the_uses_are_thirty_and_point_at_their_words():
    uses = read_uses()
    assert len(uses) == 30
    assert {use.word for use in uses} == {"present", "play", "read"}
    for use in uses:
        assert use.words[use.position] == use.word


def test_nearest_is_by_the_cosine():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(7, 5))
    for i, found in enumerate(nearest(vectors)):
        cosines = [
            -np.inf
            if i == j
            else vectors[i] @ v / np.linalg.norm(vectors[i]) / np.linalg.norm(v)
            for j, v in enumerate(vectors)
        ]
        assert found == np.argmax(cosines)
    assert nearest(np.ones((3, 4))) is None


@pytest.mark.slow
def test_the_demo_tells_senses_apart_and_agrees_with_its_server():
    done = subprocess.run(
        [sys.executable, "-m", "keras_elmo", "demo"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    same = re.findall(
        r"layer (\d): the nearest other use .* for (\d+) of 10", done.stdout
    )
    assert [layer for layer, _ in same] == ["1", "2"] * 3
    # By chance it would be 4 of 9.
    assert sum(int(count) for _, count in same) >= 48
    assert done.stdout.count("layer 0: the same vector in all 10 uses") == 3
    difference = float(
        re.search(r"largest difference from Keras (\S+)", done.stdout)[1]
    )
    assert difference < 1e-5
