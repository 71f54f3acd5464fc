"""bilm-tf's training checkpoints: every number arrives, and damage is told."""

import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_elmo.ai2.checkpoint import has_bilm_checkpoint, read_bilm_checkpoint
from keras_elmo.errors import FormatError
from tests.ai2.checkpoint_files import (
    BILM_FOLDER,
    LM,
    copy_of_bilms,
    name_in_hdf5,
    word_model,
    write_bilm_folder,
    write_variables,
)

NAMES = json.loads((LM / "dump_weights_names.json").read_text())
DATA = "model.ckpt-6.data-00000-of-00001"


def read_all(folder):
    """Every number of a checkpoint, bit for bit."""
    checkpoint = read_bilm_checkpoint(folder)
    groups = checkpoint.arrays, checkpoint.accumulators
    arrays = [{k: np.asarray(v).tobytes() for k, v in g.items()} for g in groups]
    return checkpoint.step, arrays


@pytest.mark.parametrize(
    "group, root",
    [("arrays", "weights_step6/"), ("accumulators", "accumulator_step6/")],
)
def test_what_bilm_wrote_arrives_bit_for_bit(group, root):
    expected = np.load(LM / "full.npz")
    names = [name for name in expected if name.startswith(root)]
    checkpoint = read_bilm_checkpoint(BILM_FOLDER)
    found = getattr(checkpoint, group)
    assert set(found) == {name_in_hdf5(name.removeprefix(root)) for name in names}
    for name in names:
        stored = found[name_in_hdf5(name.removeprefix(root))]
        array = np.asarray(stored)
        assert (stored.shape, stored.dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
        assert array.dtype == np.float32


def test_options_and_step_are_those_of_the_training():
    checkpoint = read_bilm_checkpoint(BILM_FOLDER)
    assert checkpoint.step == 6
    assert checkpoint.options["char_cnn"]["n_characters"] == 261
    assert checkpoint.options["n_tokens_vocab"] == 25
    assert checkpoint.path == str(BILM_FOLDER / "model.ckpt-6")


@pytest.mark.parametrize("kind", ["char_1_layer", "char_2_layers", "token_2_layers"])
def test_names_are_those_of_bilms_own_dump(kind, tmp_path):
    rng = np.random.default_rng(0)
    variables = {
        name: rng.standard_normal(shape).astype("float32")
        for name, shape in NAMES[kind]["checkpoint"].items()
    }
    options = json.loads((LM / "full_options.json").read_text())
    found = read_bilm_checkpoint(
        write_bilm_folder(tmp_path / "bilm", options, variables)
    )
    # What bilm's dump of one layer leaves out, and its reader asks for.
    cell = "RNN/MultiRNNCell/Cell0/LSTMCell"
    dumped = {
        name.replace("RNN/LSTMCell", cell): tuple(shape)
        for name, shape in NAMES[kind]["hdf5"].items()
    }
    softmax = {"softmax/W": (25, 6), "softmax/b": (25,)}
    assert {k: v.shape for k, v in found.arrays.items()} == dumped | softmax
    for name, array in variables.items():
        entry = name_in_hdf5(name).replace("RNN/LSTMCell", cell)
        np.testing.assert_array_equal(np.asarray(found.arrays[entry]), array)
    assert (found.accumulators, found.step) == ({}, 7)


@pytest.mark.parametrize("shared", [True, False])
def test_words_may_share_their_vectors_with_the_softmax(shared, tmp_path):
    options, variables = word_model(shared)
    assert ("lm/softmax/W" in variables) is not shared
    found = read_bilm_checkpoint(
        write_bilm_folder(tmp_path / "bilm", options, variables)
    )
    assert ("softmax/W" in found.arrays) is not shared
    np.testing.assert_array_equal(
        np.asarray(found.arrays["embedding"]), variables["lm/embedding"]
    )


def two_more_checkpoints(folder):
    """Beside step 6 those of step 10 and step 9."""
    for step in ("10", "9"):
        prefix = folder / f"model.ckpt-{step}"
        write_variables(prefix, {"global_step": np.float32(step)})


@pytest.mark.parametrize(
    "named",
    [
        "model.ckpt-9",
        "/net/nfs/trained/elmo/model.ckpt-9",
        "C:\\\\elmo\\\\model.ckpt-9",
        "../model.ckpt-9",
    ],
)
def test_the_file_checkpoint_says_which_by_its_name_alone(named, tmp_path):
    folder = copy_of_bilms(tmp_path)
    two_more_checkpoints(folder)
    (folder / "checkpoint").write_text(
        f'model_checkpoint_path: "{named}"\n'
        'all_model_checkpoint_paths: "model.ckpt-10"\n'
    )
    assert read_bilm_checkpoint(folder).step == 9


def test_without_that_file_it_is_the_highest_number(tmp_path):
    folder = copy_of_bilms(tmp_path)
    two_more_checkpoints(folder)
    (folder / "checkpoint").unlink()
    assert has_bilm_checkpoint(folder)
    assert read_bilm_checkpoint(folder).step == 10


def test_a_folder_without_either_is_no_checkpoint(tmp_path):
    assert not has_bilm_checkpoint(tmp_path)
    (tmp_path / "options.json").write_text("{}")
    with pytest.raises(FormatError, match="expected a training checkpoint of bilm-tf"):
        read_bilm_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="absent"):
        read_bilm_checkpoint(tmp_path / "absent")


def change(name, change):
    def spoil(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return spoil


def remove(name):
    return lambda folder: (folder / name).unlink()


def variables(**arrays):
    """Another checkpoint in the place of bilm's."""

    def spoil(folder):
        named = {name.replace("__", "/"): array for name, array in arrays.items()}
        write_variables(folder / "model.ckpt-6", named)

    return spoil


STEP, ONES = np.float32(6), np.ones(3, "float32")


@pytest.mark.parametrize(
    "spoil, message",
    [
        (remove("options.json"), "options.json: expected the options of the training"),
        (remove(DATA), "model.ckpt-6.data-: expected a file (checkpoint names it)"),
        (
            remove("model.ckpt-6.index"),
            "model.ckpt-6.index: expected a file (checkpoint names it), found none.",
        ),
        (
            change("checkpoint", lambda text: b"model.ckpt-6"),
            "checkpoint: model_checkpoint_path: expected a name in quotes, found",
        ),
        (
            change("model.ckpt-6.index", lambda data: data[:1000]),
            "model.ckpt-6.index: expected a whole checkpoint, found: not an sstable",
        ),
        (
            change("model.ckpt-6.index", lambda data: b""),
            "model.ckpt-6.index: expected a whole checkpoint, found: file is too short",
        ),
        (
            change(DATA, lambda data: data[:100]),
            "model.ckpt-6: lm/CNN/W_cnn_1: expected a whole checkpoint, found: Read ",
        ),
        (
            change(
                "options.json",
                lambda text: text.replace(
                    b'"bidirectional": true', b'"bidirectional": false'
                ),
            ),
            "options.json: bidirectional: expected true (a biLM has both directions)",
        ),
        (
            variables(global_step=STEP, lm__rnn__multi_rnn_cell__cell_0=ONES),
            "model.ckpt-6: lm/rnn/multi_rnn_cell/cell_0: expected lm/RNN_0 and "
            "lm/RNN_1 (a biLM has both directions), found a model of one direction.",
        ),
        (
            variables(global_step=STEP, lm__softmax__W__part_0=ONES, beta1_power=STEP),
            "model.ckpt-6: expected the variables of a biLM of bilm-tf's, found "
            "beta1_power, lm/softmax/W/part_0.",
        ),
        (
            variables(global_step=STEP, lm__CNN__kernel__Adagrad=ONES),
            "found lm/CNN/kernel/Adagrad.",
        ),
        (
            variables(**dict.fromkeys("abcdef", STEP)),
            "found a, b, c, d and 2 more.",
        ),
        (
            variables(lm__char_embed=ONES),
            "global_step: expected a number of steps, found nothing.",
        ),
        (
            variables(global_step=ONES),
            "global_step: expected a number of steps, found float32 of shape (3,).",
        ),
        (
            variables(global_step=np.float32(np.inf)),
            "global_step: expected a number of steps, found inf.",
        ),
    ],
)
def test_a_bad_checkpoint_is_refused_by_file_and_variable(spoil, message, tmp_path):
    folder = copy_of_bilms(tmp_path)
    spoil(folder)
    with pytest.raises(FormatError, match=re.escape(message)) as caught:
        read_all(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_two_variables_for_one_entry_are_refused(tmp_path):
    cells = "lm/RNN_0/rnn/lstm_cell", "lm/RNN_0/rnn/multi_rnn_cell/cell_0/lstm_cell"
    options = json.loads((LM / "full_options.json").read_text())
    folder = write_bilm_folder(
        tmp_path / "bilm", options, {f"{cell}/bias": ONES for cell in cells}
    )
    with pytest.raises(FormatError, match=f"found {cells[1]}/bias"):
        read_bilm_checkpoint(folder)


@given(st.data())
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_changed_byte_is_told_or_changes_nothing(tmp_path_factory, data):
    folder = copy_of_bilms(tmp_path_factory.mktemp("spoilt"))
    path = folder / data.draw(st.sampled_from(["model.ckpt-6.index", DATA]))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(
        st.integers(1, 255)
    )
    path.write_bytes(content)
    try:
        found = read_all(folder)
    except FormatError as error:
        assert str(path).split(".data")[0] in str(error)
        return
    assert found == read_all(BILM_FOLDER)
