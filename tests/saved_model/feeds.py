"""Inputs for any signature, made of its SignatureDef alone, and its runs compared."""

import pathlib

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_elmo.text.characters import batch_to_ids

WORDS = [
    ["The", "cat", "sat", "on", "the", "mat", "."],
    [],
    ["Züge"],
    ["a", "w" * 60, "?"],
]
LENGTHS = [len(row) for row in WORDS]


def example_feeds(signature):
    """Inputs of a signature by name: four sentences, one of none and one of one word.

    Rows of words are padded with the first word of all, as a batching server does.

    Args:
        signature: A SignatureDef.

    Returns:
        Arrays by name; strings are objects, bytes.
    """
    return {
        name: _feed(
            name,
            tf.dtypes.as_dtype(info.dtype),
            [dim.size for dim in info.tensor_shape.dim],
            signature.method_name,
        )
        for name, info in signature.inputs.items()
    }


def _feed(name, dtype, shape, method_name):
    rank = len(shape)
    if dtype == tf.string and rank == 1:
        if method_name != tf.saved_model.PREDICT_METHOD_NAME:
            return _objects([_example(row) for row in WORDS])
        return _objects([" ".join(row).encode() for row in WORDS])
    if dtype == tf.string and rank == 2:
        first = WORDS[0][0]
        return np.array(
            [
                [word.encode() for word in (*row, *[first] * (7 - len(row)))]
                for row in WORDS
            ],
            object,
        )
    if dtype == tf.int32 and rank == 1:
        return np.array(LENGTHS, "int32")
    if dtype == tf.int32 and rank == 2:  # token ids
        ids = np.random.default_rng(0).integers(1, 5, (len(WORDS), 7))
        return ids.astype("int32")
    if dtype == tf.int32 and rank == 3:
        characters = 50 if shape[2] == -1 else shape[2]
        ids = batch_to_ids(WORDS, characters)
        for row, length in zip(ids, LENGTHS, strict=True):
            row[length:] = ids[0, 0, 0]
        return ids
    if dtype.is_floating and -1 not in shape[1:]:  # states
        rng = np.random.default_rng(rank)
        values = rng.uniform(-1, 1, (len(WORDS), *shape[1:]))
        return values.astype(dtype.as_numpy_dtype)
    raise NotImplementedError(f"an input {name} of {dtype}, {shape}")


def _objects(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


def _example(words):
    value = tf.train.BytesList(value=[word.encode() for word in words])
    features = tf.train.Features(feature={"tokens": tf.train.Feature(bytes_list=value)})
    return tf.train.Example(features=features).SerializeToString()


def read_meta_graph(export):
    """The MetaGraphDef of a SavedModel with the tag `serve`, from its file."""
    content = (pathlib.Path(export) / "saved_model.pb").read_bytes()
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    assert list(meta_graph.meta_info_def.tags) == ["serve"]
    return meta_graph


def client_signatures(export):
    """The SignatureDefs of an export that are for clients, by name."""
    return {
        name: definition
        for name, definition in read_meta_graph(export).signature_def.items()
        if not name.startswith("__")
    }


def all_feeds(export):
    """`example_feeds` of every signature of an export, by name."""
    return {
        name: example_feeds(definition)
        for name, definition in client_signatures(export).items()
    }


def run_in_python(export, feeds):
    """Outputs of every signature as `tf.saved_model.load` gives them."""
    loaded = tf.saved_model.load(str(export))
    results = {}
    for name, inputs in feeds.items():
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        outputs = loaded.signatures[name](**tensors)
        results[name] = {key: value.numpy() for key, value in outputs.items()}
    return results


def assert_same(actual, expected):
    """Every output of every signature is there and equal to the last bit."""
    assert sorted(actual) == sorted(expected)
    for signature, outputs in expected.items():
        assert sorted(actual[signature]) == sorted(outputs), signature
        for name, value in outputs.items():
            found = actual[signature][name]
            assert found.shape == value.shape, (signature, name)
            assert found.dtype == value.dtype, (signature, name)
            np.testing.assert_array_equal(found, value, f"{signature}/{name}")
