"""Adagrad on TensorFlow, in one pass over the weights on a CPU."""

import keras
import tensorflow as tf


class Adagrad(keras.optimizers.Adagrad):
    """Keras' `Adagrad`, with the same numbers to the last digits.

    Keras makes seven passes over each weight, over all of a softmax too of which few
    rows have a gradient; a CPU spends its time on reading and writing them. Of a sparse
    gradient no row may be there twice.

    >>> optimizer, weight = Adagrad(0.2), keras.Variable([1.0, 1.0])
    >>> optimizer.build([weight])
    >>> optimizer.apply([np.array([0.0, 2.0], "float32")])
    >>> bool(weight[0] == 1), bool(weight[1] < 1)
    (True, True)
    """

    def update_step(self, gradient, variable, learning_rate):
        if "CPU" not in variable.device:
            super().update_step(gradient, variable, learning_rate)
            return
        accumulator = self._accumulators[self._get_variable_index(variable)].value
        arguments = {
            "var": variable.handle,
            "accum": accumulator.handle,
            "lr": tf.cast(learning_rate, variable.dtype),
            "epsilon": tf.constant(self.epsilon, variable.dtype),
        }
        if isinstance(gradient, tf.IndexedSlices):
            tf.raw_ops.ResourceSparseApplyAdagradV2(
                grad=gradient.values, indices=gradient.indices, **arguments
            )
        else:
            tf.raw_ops.ResourceApplyAdagradV2(grad=gradient, **arguments)
