"""ApplyMask: zeros and a mask, from a mask that is an input."""

import keras
import numpy as np

from keras_elmo.layers.masking import ApplyMask

X = np.arange(12.0, dtype="float32").reshape(2, 3, 2) + 1
MASK = np.array([[True, True, False], [True, False, False]])


def test_it_zeroes_and_masks():
    outputs = ApplyMask()([X, MASK])
    np.testing.assert_array_equal(outputs, X * MASK[:, :, None])
    np.testing.assert_array_equal(outputs._keras_mask, MASK)


def test_the_input_keeps_the_mask_that_it_had():
    x = keras.ops.convert_to_tensor(X)
    ApplyMask()([x, MASK])
    assert getattr(x, "_keras_mask", None) is None


def test_the_mask_reaches_the_next_layer_of_a_model(tmp_path):
    x, mask = keras.Input((None, 2)), keras.Input((None,), dtype="bool")
    pooled = keras.layers.GlobalAveragePooling1D()(ApplyMask()([x, mask]))
    model = keras.Model([x, mask], pooled)
    expected = np.stack([X[0, :2].mean(axis=0), X[1, 0]])
    np.testing.assert_allclose(model([X, MASK]), expected, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again([X, MASK]), model([X, MASK]))
