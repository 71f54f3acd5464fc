"""Losses, clipping and Adagrad against six steps of bilm's own training."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_elmo.ai2.weights import bilm_entries, encoder_entries
from keras_elmo.pretraining.run_files import new_language_model
from keras_elmo.pretraining.train import _optimizer, _Trainer
from tests.helpers import GOLDEN

LM = GOLDEN / "lm"
VOCABULARY_SIZE = 25


def tf1_name(entry_name):
    """The TF1 variable that bilm trains as this entry of the HDF5 file."""
    name = entry_name.replace("RNN/MultiRNNCell/Cell", "rnn/multi_rnn_cell/cell_")
    name = name.replace("LSTMCell/W_P_0", "lstm_cell/projection/kernel")
    name = name.replace("LSTMCell/W_0", "lstm_cell/kernel")
    return "lm/" + name.replace("LSTMCell/B", "lstm_cell/bias")


def entries(model):
    return [*encoder_entries(model.encoder), *bilm_entries(model.bilm)]


def model_from(options, weights):
    model = new_language_model(options, VOCABULARY_SIZE, unroll=True)
    for entry in entries(model):
        entry.assign(weights[tf1_name(entry.name)].reshape(entry.shape))
    model.softmax_kernel.assign(weights["lm/softmax/W"])
    model.softmax_bias.assign(weights["lm/softmax/b"])
    return model


def window(batches, golden, step):
    """Step `step` of bilm's data in the form that our model reads."""
    chars = np.concatenate(
        [
            batches[f"tokens_characters{suffix}"][step].reshape(12, -1) + 1
            for suffix in ("", "_reverse")
        ]
    )
    places = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    arrays = {
        "characters": chars.astype(np.int32),
        "forward_inputs": places[0],
        "backward_inputs": places[1],
        "forward_targets": batches["next_token_id"][step].astype(np.int32),
        "backward_targets": batches["next_token_id_reverse"][step].astype(np.int32),
        "starts": np.zeros((3, 4), bool),
        "weights": np.ones((3, 4), np.float32),
    }
    if "sampled_ids_forward" in golden:
        arrays["rows"] = np.arange(VOCABULARY_SIZE, dtype=np.int32)
        for name in ("forward", "backward"):
            arrays[f"{name}_true"] = arrays[f"{name}_targets"]
            arrays[f"{name}_negatives"] = golden[f"sampled_ids_{name}"][step]
            arrays[f"{name}_negatives_expected"] = golden[f"sampled_expected_{name}"][
                step
            ]
            arrays[f"{name}_true_expected"] = golden[f"true_expected_{name}"][
                step
            ].reshape(3, 4)
    return {key: tf.constant(value) for key, value in arrays.items()}


@pytest.mark.parametrize("variant", ["full", "full_clipped", "sampled"])
def test_six_steps_of_training_equal_bilms(variant, monkeypatch):
    options = json.loads((LM / f"{variant}_options.json").read_text())
    golden = np.load(LM / f"{variant}.npz")
    batches = np.load(LM / "batches.npz")
    model = model_from(options, np.load(LM / "weights_init_char.npz"))
    monkeypatch.setattr(
        "keras_elmo.pretraining.train.CLIP_NORM", options["all_clip_norm_val"]
    )
    trainer = _Trainer(model, _optimizer("adagrad", 0.2, "constant", 6), True)
    states = model.get_initial_state(3)
    losses = []
    for step in range(6):
        loss, states = trainer.step(window(batches, golden, step), states)
        losses.append(float(loss))
    np.testing.assert_allclose(losses, golden["loss"], rtol=1e-5)
    for entry in entries(model):
        expected = golden[f"weights_step6/{tf1_name(entry.name)}"]
        np.testing.assert_allclose(
            entry.value(), expected.reshape(entry.shape), rtol=1e-4, atol=2e-5
        )
    for i, direction in enumerate(("forward", "backward")):
        for layer in range(2):
            h, c = (keras.ops.convert_to_numpy(s) for s in states[i][layer])
            name = f"state_{direction}_{layer}"
            np.testing.assert_allclose(c, golden[f"{name}_c"][-1], atol=2e-5)
            np.testing.assert_allclose(h, golden[f"{name}_h"][-1], atol=2e-5)
