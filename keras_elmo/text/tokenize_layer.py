"""`tokenize` as a layer, for models that read raw text."""

import keras


@keras.saving.register_keras_serializable(package="keras_elmo")
class Tokenize(keras.layers.Layer):
    """Raw texts to words, see `keras_elmo.text.tokenize`; TensorFlow backend only.

    `keras_elmo.text.tokenize` makes one of these where it is given a Keras tensor. It
    is a module of its own, so that it is there when a model is loaded, but the seconds
    that tensorflow_text takes are not.

    Call arguments:
        inputs: String tensor of shape `(batch,)`.

    Returns:
        Tuple of words, string `(batch, time)`; lengths, int32 `(batch,)`; starts and
        ends in bytes, int64 `(batch, time)`.

    Example:

    >>> texts = keras.Input((), dtype="string")
    >>> words, lengths, starts, ends = keras_elmo.text.Tokenize()(texts)
    >>> model = keras.Model(texts, elmo(words, lengths=lengths))
    >>> model(tf.constant(["Read it."])).shape
    TensorShape([1, 3, 256])
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_jit = False  # XLA knows no strings

    def call(self, inputs):
        from keras_elmo.text.raw_text import tokenize

        return tuple(tokenize(inputs))

    def compute_output_spec(self, inputs):
        words = (inputs.shape[0], None)
        return (
            keras.KerasTensor(words, dtype="string"),
            keras.KerasTensor(words[:1], dtype="int32"),
            keras.KerasTensor(words, dtype="int64"),
            keras.KerasTensor(words, dtype="int64"),
        )

    def compute_output_shape(self, input_shape):
        words = (input_shape[0], None)
        return words, words[:1], words, words
