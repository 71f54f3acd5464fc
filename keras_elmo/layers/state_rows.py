"""LSTM states that stay from call to call, by row."""

import keras
from keras import ops

from keras_elmo.layers.bilm import BiLM


class StateRows:
    """The states of a biLM for a fixed number of rows.

    Not a layer, and its variables are no weights: what a model has read last is not
    part of what it has learned, and is never saved.

    Args:
        bilm: The biLM.
        count: Rows.
    """

    def __init__(self, bilm: BiLM, count: int):
        self.variables = keras.tree.map_structure(
            lambda zeros: keras.Variable(zeros, trainable=False),
            bilm.get_initial_state(count),
        )

    def first(self, batch):
        """The states of the first `batch` rows, in the form of `initial_state`."""
        return keras.tree.map_structure(lambda v: v.value[:batch], self.variables)

    def keep(self, states, batch):
        """Store the states of the first `batch` rows; the others stay."""

        def assign(variable, state):
            variable.assign(ops.concatenate([state, variable.value[batch:]], axis=0))

        keras.tree.map_structure(assign, self.variables, states)

    def reset(self):
        """Set all rows to zero."""
        for variable in keras.tree.flatten(self.variables):
            variable.assign(ops.zeros_like(variable.value))
