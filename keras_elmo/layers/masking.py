"""Zeros, and a mask, where there is padding."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_elmo")
class ApplyMask(keras.layers.Layer):
    """Returns its first input, zero and masked where its second is False.

    A layer whose mask follows from more than its first input cannot say so in
    `compute_mask`, which is given nothing else; it can call this one.

    Call arguments:
        inputs: List of a float tensor of shape `(batch, time, dim)` and a bool
            tensor of shape `(batch, time)`.

    Example:

    >>> outputs = ApplyMask()([np.ones((1, 2, 3)), np.array([[True, False]])])
    >>> outputs._keras_mask.numpy()
    array([[ True, False]])
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        pass

    def call(self, inputs):
        outputs, mask = inputs
        return outputs * ops.cast(mask, outputs.dtype)[:, :, None]

    def compute_mask(self, inputs, mask=None):
        return inputs[1]

    def compute_output_shape(self, input_shape):
        return input_shape[0]
