"""Checkpoints for tests: bilm-tf's, as TensorFlow 1 wrote them, and those of a run."""

import json
import re
import shutil

import h5py
import numpy as np
import tensorflow as tf

from tests.helpers import GOLDEN

LM = GOLDEN / "lm"
BILM_FOLDER = LM / "checkpoint_char"


def copy_of_bilms(tmp_path):
    """A copy of the folder that bilm-tf itself wrote, to be spoilt."""
    return shutil.copytree(BILM_FOLDER, tmp_path / "bilm")


def write_variables(prefix, variables):
    """Write `prefix.index` and `prefix.data-...`, as the Saver of TensorFlow 1 does."""
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(variables),
        shape_and_slices=[""] * len(variables),
        tensors=[tf.constant(array) for array in variables.values()],
    )


def write_bilm_folder(folder, options, variables, step=7.0):
    """What bilm-tf's training leaves: `variables` are by TensorFlow's names."""
    folder.mkdir()
    (folder / "options.json").write_text(json.dumps(options))
    others = {"global_step": np.float32(step), "train_perplexity": np.float32(9)}
    write_variables(folder / f"model.ckpt-{step:.0f}", variables | others)
    name = f'"model.ckpt-{step:.0f}"'
    (folder / "checkpoint").write_text(
        f"model_checkpoint_path: {name}\nall_model_checkpoint_paths: {name}\n"
    )
    return folder


def word_model(shared):
    """Options and variables of bilm-tf's small model with word input."""
    name, weights = (
        ("token_shared_full", "weights_init_token_shared")
        if shared
        else ("token_sampled", "weights_init_token")
    )
    options = json.loads((LM / f"{name}_options.json").read_text())
    return options, dict(np.load(LM / f"{weights}.npz"))


def name_in_hdf5(variable):
    """How `dump_weights` in bilm-tf `bilm/training.py` renames a variable."""
    name = variable.removeprefix("lm/")
    for old, new in [
        ("/rnn/", "/RNN/"),
        ("/multi_rnn_cell/", "/MultiRNNCell/"),
        ("/cell_", "/Cell"),
        ("/lstm_cell/", "/LSTMCell/"),
    ]:
        name = re.sub(old, new, name)
    if "/RNN/" not in name:
        return name
    if "projection" in name:
        return re.sub("projection/kernel", "W_P_0", name)
    return re.sub("/bias", "/B", re.sub("/kernel", "/W_0", name))


def write_dump(folder, options, variables):
    """What `dump_weights` makes of a checkpoint: AI2's pair."""
    folder.mkdir()
    (folder / "options.json").write_text(json.dumps(options))
    with h5py.File(folder / "lm_weights.hdf5", "w") as file:
        for name, array in variables.items():
            if "softmax" not in name:
                file[name_in_hdf5(name)] = array
    return folder


def write_run_checkpoint(path, options, variables, step=7, **others):
    """A checkpoint of a run of ours, of variables by TensorFlow's names."""
    weights = {
        f"weights/{name_in_hdf5(name)}": array for name, array in variables.items()
    }
    meta = json.dumps({"step": step, "options": options})
    np.savez(path, **weights, **({"meta": np.array(meta)} | others))
    return path


def bilms_variables():
    """Options, and by TensorFlow's names the weights, of `BILM_FOLDER`."""
    arrays, root = np.load(LM / "full.npz"), "weights_step6/"
    options = json.loads((BILM_FOLDER / "options.json").read_text())
    return options, {
        name.removeprefix(root): arrays[name]
        for name in arrays
        if name.startswith(root)
    }
