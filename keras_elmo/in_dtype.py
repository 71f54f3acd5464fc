"""A model that computes in another dtype."""

import keras

from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.layers.initial_values import not_drawn


def in_dtype(
    model: ElmoLayer | keras.Model,
    dtype: str | None = "mixed_bfloat16",
    recurrent_dtype: str | None = None,
) -> ElmoLayer | keras.Model:
    """A copy of a model whose `ElmoLayer`s compute in another dtype.

    Of a Keras model around them the other layers stay as they are.

    Args:
        model: A built `ElmoLayer`, or a functional or Sequential model.
        dtype: A Keras dtype policy. With `"mixed_bfloat16"` weights and LSTM cells stay
            float32, and products are bfloat16. None: as it is.
        recurrent_dtype: Dtype of the weights of the recurrence alone, see
            `ProjectedLSTM`. With `"bfloat16"` a sentence that is alone in its batch
            takes less time, and its vectors differ from those that it has in company,
            whose products are float32. AI2's files and presets do not keep it. None: as
            it is.

    >>> in_dtype(elmo).compute_dtype, elmo.compute_dtype
    ('bfloat16', 'float32')
    """
    with not_drawn():
        if isinstance(model, ElmoLayer):
            copy = _elmo_in(model, dtype, recurrent_dtype)
            copy.build(None)
        else:
            copy = keras.models.clone_model(
                model,
                clone_function=lambda layer: _copy(layer, dtype, recurrent_dtype),
                recursive=True,
            )
    for variable, original in zip(copy.variables, model.variables, strict=True):
        variable.assign(original.value)
    return copy


def _copy(layer, *dtypes):
    if isinstance(layer, ElmoLayer):
        return _elmo_in(layer, *dtypes)
    return layer.__class__.from_config(layer.get_config())


def _elmo_in(elmo, dtype, recurrent_dtype):
    config = elmo.get_config()
    encoder, bilm = (config[name]["config"] for name in ("token_encoder", "bilm"))
    if dtype is not None:
        for part in (config, encoder, bilm):
            part["dtype"] = dtype
    if recurrent_dtype is not None:
        bilm["recurrent_dtype"] = recurrent_dtype
    return ElmoLayer.from_config(config)
