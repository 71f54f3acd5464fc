"""What several test files share: where the reference numbers are, and common checks."""

import contextlib
import inspect
import pathlib
import resource
import tempfile

import keras
import numpy as np

import keras_elmo

DATA = pathlib.Path(__file__).parent / "data"
GOLDEN = DATA / "golden"


def load_golden(case, **layer_arguments):
    """The model of a golden, by characters or, for `token_input`, by words."""
    folder = GOLDEN / case
    if case == "token_input":
        layer_arguments |= {
            "embedding_file": folder / "vocab_embedding.hdf5",
            "vocabulary_file": folder / "vocab.txt",
        }
    return keras_elmo.load_ai2(
        folder / "options.json", folder / "lm_weights.hdf5", **layer_arguments
    )


def as_numpy(outputs):
    """Any nest of tensors as the same nest of arrays; half precision as float32."""

    def convert(tensor):
        if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
            tensor = keras.ops.cast(tensor, "float32")
        return keras.ops.convert_to_numpy(tensor)

    return keras.tree.map_structure(convert, outputs)


def assert_close(actual, expected, rtol=1e-5, atol=1e-6):
    """`assert_allclose` for nests of tensors or arrays."""
    actual, expected = (keras.tree.flatten(as_numpy(x)) for x in (actual, expected))
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def randomize(layer, scale=0.5, seed=0):
    """Give each weight of a built layer random numbers, its biases too."""
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        variable.assign(scale * rng.standard_normal(variable.shape))
    return layer


def gradients(layer, inputs, **kwargs):
    """Gradients of a random sum of a layer's outputs, one a trainable weight."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        total = _random_sum(layer(inputs, **kwargs))
    return tape.gradient(total, [v.value for v in layer.trainable_variables])


def _random_sum(outputs):
    rng = np.random.default_rng(0)
    total = 0.0
    for tensor in keras.tree.flatten(outputs):
        factors = rng.standard_normal(tuple(tensor.shape)).astype("float32")
        total = total + keras.ops.sum(keras.ops.cast(tensor, "float32") * factors)
    return total


@contextlib.contextmanager
def largest_file(size):
    """No file may grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def check_layer(layer_class, arguments, inputs, mask=None, time_axis=1):
    """Put a layer through what every layer has to survive.

    Config, shapes, a functional model of unknown batch and length, `predict` at two
    lengths, the `.keras` file, half precision, gradients.

    Args:
        layer_class: The class.
        arguments: Its keyword arguments.
        inputs: An array `(batch, ...)`.
        mask: Bool array `(batch, time)`, for layers whose `call` has a mask.
        time_axis: The axis of `inputs` that may have any length.
    """
    flags = {} if mask is None else {"mask": mask}
    layer = layer_class(**arguments)
    layer(inputs, **flags)
    randomize(layer)
    expected = as_numpy(layer(inputs, **flags))
    _check_config(layer, arguments, inputs, flags, expected)
    _check_shapes(layer, inputs, expected, time_axis)
    _check_model(layer, inputs, flags, time_axis)
    for policy in ("mixed_bfloat16", "mixed_float16", "float16"):
        _check_half_precision(policy, layer, arguments, inputs, flags, expected)
    for variable, gradient in zip(
        layer.trainable_variables, gradients(layer, inputs, **flags), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.isfinite(as_numpy(gradient)).all(), variable.path


def _check_config(layer, arguments, inputs, flags, expected):
    config = layer.get_config()
    named = set(inspect.signature(type(layer).__init__).parameters)
    assert named - {"self", "kwargs"} <= set(config)
    for name, value in arguments.items():
        if name != "dtype":
            assert config[name] == value, name
    twin = type(layer).from_config(config)
    assert twin.get_config() == config
    twin(inputs, **flags)
    twin.set_weights(layer.get_weights())
    assert_close(twin(inputs, **flags), expected)


def _check_shapes(layer, inputs, expected, time_axis):
    def dims(shapes):  # () where a nest of shapes is flat enough to be one
        if all(n is None or isinstance(n, int) for n in shapes):
            return [tuple(shapes)]
        return [dim for shape in shapes for dim in dims(shape)]

    real = [array.shape for array in keras.tree.flatten(expected)]
    assert dims(layer.compute_output_shape(inputs.shape)) == real
    unknown = list(inputs.shape)
    unknown[0] = unknown[time_axis] = None
    for got, want in zip(
        dims(layer.compute_output_shape(tuple(unknown))), real, strict=True
    ):
        assert len(got) == len(want) and got[0] is None
        assert all(n in (None, m) for n, m in zip(got, want, strict=True))


def _check_model(layer, inputs, flags, time_axis):
    shape = list(inputs.shape)
    shape[time_axis] = None
    ends = [keras.Input(shape[1:], dtype=str(inputs.dtype))]
    if flags:
        ends.append(keras.Input((None,), dtype="bool"))
    outputs = layer(ends[0], **dict(zip(flags, ends[1:], strict=True)))
    model = keras.Model(ends, outputs)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        loaded = keras.models.load_model(f"{folder}/model.keras")
    for length in (inputs.shape[time_axis], 2):
        index = [slice(None)] * inputs.ndim
        index[time_axis] = slice(length)
        piece = inputs[tuple(index)]
        piece_flags = {name: value[:, :length] for name, value in flags.items()}
        expected = layer(piece, **piece_flags)
        feed = [piece, *piece_flags.values()]
        assert_close(model.predict(feed, verbose=0), expected)
        assert_close(loaded(feed), expected)


def _check_half_precision(policy, layer, arguments, inputs, flags, expected):
    half = type(layer)(**{**arguments, "dtype": policy})
    half(inputs, **flags)
    half.set_weights(layer.get_weights())
    outputs = half(inputs, **flags)
    assert keras.tree.flatten(outputs)[0].dtype == half.compute_dtype
    promised = half(keras.Input(batch_shape=inputs.shape, dtype=str(inputs.dtype)))
    for got, spec, want in zip(
        *(keras.tree.flatten(x) for x in (outputs, promised, expected)), strict=True
    ):
        assert keras.backend.standardize_dtype(got.dtype) == spec.dtype
        loss = 0.1 if "bfloat16" in policy else 0.02
        assert_close(as_numpy(got), want, rtol=0, atol=loss * np.abs(want).max())
