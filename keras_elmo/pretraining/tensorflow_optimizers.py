"""Adagrad and Adam on TensorFlow, in one pass over the weights on a CPU.

Keras makes several passes over each weight, over all of a softmax too of which few rows
have a gradient; a CPU spends its time on reading and writing them. Of a sparse gradient
no row may be there twice.
"""

import keras
import tensorflow as tf


class Adagrad(keras.optimizers.Adagrad):
    """Keras' `Adagrad`, with the same numbers to the last digits.

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


class Adam(keras.optimizers.Adam):
    """Keras' `Adam`, with the same numbers to the last digits.

    As in Keras, rows without a gradient go on by their momentum.

    >>> optimizer, weight = Adam(0.2), keras.Variable([1.0, 1.0])
    >>> optimizer.build([weight])
    >>> optimizer.apply([np.array([0.0, 2.0], "float32")])
    >>> bool(weight[0] == 1), round(float(weight[1]), 5)
    (True, 0.8)
    """

    def update_step(self, gradient, variable, learning_rate):
        if "CPU" not in variable.device:
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, variable.dtype)
        beta_1, beta_2, epsilon = (
            tf.constant(number, variable.dtype)
            for number in (self.beta_1, self.beta_2, self.epsilon)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.convert_to_tensor(gradient),
        )
