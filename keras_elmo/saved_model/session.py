"""A SavedModel in a session, which is how TensorFlow Serving runs one."""

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_elmo.saved_model.warmup import read_warmup


def read_signatures(folder: str | os.PathLike) -> dict:
    """The `SignatureDef`s of an export by name, TensorFlow's own among them.

    >>> sorted(read_signatures("models/tiny/1"))[1:3]
    ['char_ids', 'default']
    """
    with open(os.path.join(folder, "saved_model.pb"), "rb") as file:
        saved_model = saved_model_pb2.SavedModel.FromString(file.read())
    return dict(saved_model.meta_graphs[0].signature_def)


@contextlib.contextmanager
def opened(folder: str | os.PathLike) -> Iterator[tuple]:
    """Load the graph tagged `serve` into a session of its own.

    Args:
        folder: Version folder.

    Yields:
        Pair of a `tf.compat.v1.Session` and a dict of `SignatureDef`s by name.

    >>> with opened("models/tiny/1") as (session, signatures):
    ...     feed = {signatures["default"].inputs["strings"].name: ["a b"]}
    ...     session.run(signatures["default"].outputs["lengths"].name, feed)
    array([2], dtype=int32)
    """
    with contextlib.closing(tf.compat.v1.Session(graph=tf.Graph())) as session:
        with session.graph.as_default(), _without_deprecations():
            meta = tf.compat.v1.saved_model.load(session, ["serve"], os.fspath(folder))
        yield session, dict(meta.signature_def)


def replay_warmup(folder: str | os.PathLike):
    """Run an export's own warm-up requests.

    Args:
        folder: Version folder.

    Raises:
        ValueError: One that fails, naming its signature.
    """
    with opened(folder) as (session, signatures):
        for log in read_warmup(folder):
            name, feeds = _feeds(log)
            signature = signatures[name]
            outputs = [info.name for info in signature.outputs.values()]
            try:
                session.run(
                    outputs,
                    {signature.inputs[alias].name: v for alias, v in feeds.items()},
                )
            except tf.errors.OpError as error:
                reason = " ".join(str(error.message).split())
                raise ValueError(
                    f"export_saved_model: signature {name!r} fails its own warm-up "
                    f"request: {reason[:300]}"
                ) from error


def _feeds(log):
    kind = log.WhichOneof("log_type")
    request = getattr(log, kind).request
    name = request.model_spec.signature_name
    if kind == "predict_log":
        return name, {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
    examples = request.input.example_list.examples
    return name, {"inputs": [example.SerializeToString() for example in examples]}


@contextlib.contextmanager
def _without_deprecations():
    # Sessions are deprecated for programs that train; servers are built on them.
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)
