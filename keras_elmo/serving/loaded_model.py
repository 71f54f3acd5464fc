"""One version of a model, in a session of TensorFlow as the stock server has it."""

import gc
from pathlib import Path

import grpc
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from keras_elmo.errors import FormatError
from keras_elmo.saved_model.session import open_session, read_meta_graph
from keras_elmo.serving.checks import RequestError

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_PREFIX = "Graph execution error:\n\n"  # Python's own; the stock server has none.


class LoadedModel:
    """A version that is ready to compute.

    Args:
        folder: Version folder.

    Raises:
        FormatError: if TensorFlow can not load it.

    >>> loaded = LoadedModel(Path("models/elmo_tiny_en/1"))
    >>> signature = loaded.signatures["default"]
    >>> elmo = signature.outputs["elmo"].name
    >>> strings = np.array([b"a b"], object)
    >>> loaded.run({signature.inputs["strings"].name: strings}, [elmo])[elmo].shape
    (1, 2, 32)
    >>> loaded.close()
    """

    def __init__(self, folder: Path):
        meta_graph = read_meta_graph(folder)
        self.folder = folder
        self.signatures = dict(meta_graph.signature_def)
        _register_ops(meta_graph)
        try:
            self._session = open_session(folder)
        except Exception as error:  # TensorFlow has no error of its own for this.
            first_line = f"{error}".partition("\n")[0]
            raise FormatError(
                f"{folder}: expected a SavedModel that TensorFlow loads, found: "
                f"{type(error).__name__}: {first_line}"
            ) from error

    def run(self, feeds: dict, fetches, timeout: float | None = None) -> dict:
        """Compute tensors; many threads may do so at once.

        Args:
            feeds: Arrays by tensor name.
            fetches: Names of the tensors to compute.
            timeout: Seconds after which TensorFlow gives up.

        Returns:
            Arrays by tensor name.

        Raises:
            RequestError: with TensorFlow's code and text.
        """
        options = tf.compat.v1.RunOptions()
        if timeout is not None:
            options.timeout_in_ms = max(1, int(timeout * 1000))  # 0 means none.
        names = list(dict.fromkeys(fetches))
        try:
            arrays = self._session.run(names, feeds, options=options)
        except tf.errors.OpError as error:
            text = (error.message or "").removeprefix(_PREFIX)
            raise RequestError(_CODES[error.error_code], text) from error
        return dict(zip(names, arrays, strict=True))

    def close(self):
        """Free the model's memory. Nothing may run any more, or later."""
        self._session.close()
        self._session = None
        # A graph is full of cycles, and what it holds is more than Python knows of.
        gc.collect()


def _register_ops(meta_graph):
    """Load TensorFlow Text's kernels for a graph that has its ops."""
    names = [op.name for op in meta_graph.meta_info_def.stripped_op_list.op]
    if any(op_def_registry.get(name) is None for name in names):
        import tensorflow_text  # noqa: F401  (its import registers them)
