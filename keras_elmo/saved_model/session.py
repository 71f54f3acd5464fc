"""A SavedModel in a session, which is how TensorFlow Serving runs one."""

import contextlib
import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from keras_elmo.errors import FormatError
from keras_elmo.saved_model.warmup import example_inputs, read_warmup

SHORT = 3  # words, of a sentence that is padded


def read_meta_graph(folder: str | os.PathLike):
    """Read the graph of a SavedModel from its file.

    Args:
        folder: Version folder.

    Returns:
        `MetaGraphDef`, with `signature_def` by name, those for TensorFlow's own use
        included.

    Raises:
        FormatError: if the folder holds no SavedModel for serving.

    >>> "default" in read_meta_graph("models/tiny/1").signature_def
    True
    """
    path = os.path.join(folder, "saved_model.pb")
    if not os.path.isfile(path):
        found = ", ".join(sorted(os.listdir(folder))) or "nothing"
        raise FormatError(
            f"{os.fspath(folder)}: expected saved_model.pb, found: {found}."
        )
    with open(path, "rb") as file:
        content = file.read()
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(content)
    except DecodeError as error:
        raise FormatError(f"{path}: expected a SavedModel, found: {error}.") from error
    for graph in saved_model.meta_graphs:
        if list(graph.meta_info_def.tags) == ["serve"]:
            return graph
    found = [list(graph.meta_info_def.tags) for graph in saved_model.meta_graphs]
    raise FormatError(f'{path}: expected a graph with the tag "serve", found: {found}.')


def open_session(folder: str | os.PathLike) -> tf.compat.v1.Session:
    """Load the graph tagged `serve` into a session of its own, which is to be closed.

    Args:
        folder: Version folder.

    >>> session = open_session("models/tiny/1")
    >>> signature = read_meta_graph("models/tiny/1").signature_def["default"]
    >>> feed = {signature.inputs["strings"].name: ["a b"]}
    >>> session.run(signature.outputs["lengths"].name, feed)
    array([2], dtype=int32)
    >>> session.close()
    """
    session = tf.compat.v1.Session(graph=tf.Graph())
    try:
        with session.graph.as_default(), _deprecation_unsaid():
            tf.compat.v1.saved_model.load(session, ["serve"], os.fspath(folder))
        session.graph.finalize()
    except BaseException:
        session.close()
        raise
    return session


def run_signature(session, signature, feeds: Mapping, outputs=()) -> dict:
    """Outputs of a signature, by name.

    Args:
        session: What `open_session` returned.
        signature: `SignatureDef`.
        feeds: Arrays by input name.
        outputs: Names; empty means all.

    Raises:
        ValueError: It fails; with TensorFlow's reason.
    """
    try:
        return session.run(
            {
                alias: signature.outputs[alias].name
                for alias in outputs or signature.outputs
            },
            {signature.inputs[alias].name: value for alias, value in feeds.items()},
        )
    except tf.errors.OpError as error:
        reason = " ".join(str(error.message).split())
        raise ValueError(reason[:300]) from error


def replay_warmup(session, folder: str | os.PathLike, signatures: Mapping):
    """Run an export's own warm-up requests.

    Args:
        session: What `open_session` returned for the folder.
        folder: Version folder.
        signatures: `SignatureDef`s by name.

    Raises:
        ValueError: One that fails, naming its signature.
    """
    for log in read_warmup(folder):
        name, feeds, outputs = _read(log)
        try:
            run_signature(session, signatures[name], feeds, outputs)
        except ValueError as error:
            raise ValueError(
                f"export_saved_model: signature {name!r} fails its own warm-up "
                f"request: {error}"
            ) from error


def changed_by_padding(session, signatures: Mapping) -> list[str]:
    """Outputs of a model that padding changes: a layer of it does not heed the mask.

    Args:
        session: What `open_session` returned.
        signatures: `SignatureDef`s by name. Without a signature `tokens`, or where it
            has inputs beside the words, nothing is found out.

    Returns:
        Their names.
    """
    signature = signatures.get("tokens")
    if signature is None or set(signature.inputs) != {"tokens", "sequence_len"}:
        return []
    alone = example_inputs(signature, 1)
    words = alone["tokens"][:, :SHORT]
    alone |= {"tokens": words, "sequence_len": np.array([SHORT], np.int32)}
    padded = alone | {"tokens": np.tile(words, 4)}
    try:
        expected = run_signature(session, signature, alone)
        found = run_signature(session, signature, padded)
    except ValueError as error:
        raise ValueError(
            f"export_saved_model: signature 'tokens' fails for a sentence of {SHORT} "
            f"words: {error}"
        ) from error
    return [name for name in expected if not _same(expected[name], found[name])]


def _same(alone, padded):
    if padded.shape != alone.shape:  # one entry a word: what is behind is cut off
        padded = padded[:, : alone.shape[1]]
    if alone.dtype == object:
        return (alone == padded).all()
    return np.allclose(alone, padded, rtol=1e-3, atol=1e-3, equal_nan=True)


def _read(log):
    kind = log.WhichOneof("log_type")
    request = getattr(log, kind).request
    name = request.model_spec.signature_name
    if kind == "predict_log":
        arrays = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
        return name, arrays, list(request.output_filter)
    examples = [x.SerializeToString() for x in request.input.example_list.examples]
    return name, {"inputs": examples}, []


@contextlib.contextmanager
def _deprecation_unsaid():
    """TensorFlow calls this way of loading deprecated; it is the stock server's."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)
