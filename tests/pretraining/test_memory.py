"""Memory that a run needs, against built models; memory that there is."""

import keras
import pytest

from keras_elmo.errors import FormatError
from keras_elmo.pretraining.memory import (
    SLOTS,
    check_memory,
    memory_available,
    memory_needed,
    number_of_weights,
)
from keras_elmo.pretraining.model_files import new_language_model
from keras_elmo.pretraining.names import LEARNING_RATES
from keras_elmo.pretraining.optimizers import new_optimizer
from keras_elmo.text.vocabulary import SPECIALS, Vocabulary
from tests.pretraining import small_models

GIB = 2**30


def bytes_of(variables):
    return sum(4 * int(keras.ops.size(variable)) for variable in variables)


def changed(**changes):
    """The options of the small models, with changes to their two parts."""
    options = small_models.options()
    for part, content in changes.items():
        options[part] |= content
    return options


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        (changed(), False),
        (changed(lstm={"n_layers": 1, "projection_dim": 12, "dim": 12}), False),
        (changed(char_cnn={"n_highway": 2, "filters": [[1, 4], [5, 3]]}), False),
        (changed(char_cnn={"n_highway": 0, "filters": [[2, 6]]}), False),
        (changed(char_cnn={"n_highway": None}), False),
        (small_models.options("token_sampled"), False),
        (small_models.options("token_shared_full"), True),
    ],
)
def test_weights_are_those_of_a_built_model(options, shared):
    vocabulary = Vocabulary([*SPECIALS, *map(str, range(40))])
    model = new_language_model(options, vocabulary, share_embedding_softmax=shared)
    weights = bytes_of(model.trainable_variables)
    assert 4 * number_of_weights(options, 43, shared) == weights
    assert memory_needed(options, 43, "sgd", shared) == 3 * weights
    assert memory_needed(options, 43, "adam", shared) == 5 * weights


@pytest.mark.parametrize("name", sorted(SLOTS))
def test_slots_are_those_of_a_built_optimizer(name):
    optimizer = new_optimizer(name, None, "constant", 10)
    weights = [keras.Variable([[1.0] * 30] * 7), keras.Variable([0.0] * 40)]
    optimizer.build(weights)
    found = [variable for variable in optimizer.variables if len(variable.shape)]
    assert bytes_of(found) == SLOTS[name] * bytes_of(weights)


def test_every_optimizer_is_known():
    assert set(SLOTS) == set(LEARNING_RATES)


def test_the_full_softmax_needs_its_logits():
    options = small_models.options()
    one, two = (memory_needed(options, 1000, "sgd", positions=n) for n in (10, 20))
    assert two - one == 4 * 4 * 10 * 1000
    assert one > memory_needed(options, 1000, "sgd")


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


MEMINFO = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"}
VERSION_2 = {
    "proc/self/cgroup": "0::/a/b\n",
    "sys/fs/cgroup/a/memory.max": "5000000\n",
    "sys/fs/cgroup/a/memory.current": "3000000\n",
    "sys/fs/cgroup/a/memory.stat": "anon 7\ninactive_file 400000\n",
    "sys/fs/cgroup/a/b/memory.max": "max\n",
    "sys/fs/cgroup/a/b/memory.current": "3000000\n",
}
VERSION_1 = {
    "proc/self/cgroup": "9:cpu:/x\n4:memory:/box\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "1000\n",
    "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "700000\n",
    "sys/fs/cgroup/memory/box/memory.usage_in_bytes": "600000\n",
    "sys/fs/cgroup/memory/box/memory.stat": "inactive_file 9\n"
    "total_inactive_file 1000\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        (MEMINFO, 8000 * 1024),
        ({"proc/meminfo": "MemTotal: 9000 kB\n"}, None),
        (MEMINFO | VERSION_2, 2_400_000),
        (VERSION_2, 2_400_000),
        (MEMINFO | VERSION_1, 101_000),
        (MEMINFO | {"proc/self/cgroup": "0::/gone\n"}, 8000 * 1024),
        (
            VERSION_2 | {"sys/fs/cgroup/a/memory.current": "6000000\n"},
            0,  # over its limit
        ),
    ],
)
def test_available_is_the_least_of_what_the_system_tells(tmp_path, files, expected):
    write(tmp_path, files)
    assert memory_available(str(tmp_path)) == expected


def test_this_system_tells():
    assert memory_available() > 2**20


def test_a_vocabulary_that_does_not_fit_is_refused():
    vocabulary = Vocabulary([*SPECIALS, *map(str, range(1000))], "words.txt")
    message = (
        r"words\.txt: expected a vocabulary that fits into memory, found 1,003 words, "
        r"for which training needs 12\.0 GiB or more where 7\.5 GiB are free; a "
        r"shorter one \(keras-elmo vocab --size or --min-count\) needs less"
    )
    with pytest.raises(FormatError, match=message):
        check_memory(vocabulary, 12 * GIB, 15 * GIB // 2)


@pytest.mark.parametrize("available", [None, 12 * GIB, 13 * GIB])
def test_what_fits_and_what_is_not_known_is_not_refused(available):
    assert check_memory(Vocabulary(SPECIALS), 12 * GIB, available) is None
