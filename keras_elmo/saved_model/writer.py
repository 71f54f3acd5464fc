"""Writing a version folder that TensorFlow Serving picks up."""

import contextlib
import os
import shutil
import tempfile

import keras
import tensorflow as tf

from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.resolver import elmo_layers
from keras_elmo.saved_model.signatures import elmo_signatures, model_signatures


def export_saved_model(
    model: ElmoLayer | keras.Model,
    directory: str | os.PathLike,
    version: int | None = None,
) -> str:
    """Export a model as a SavedModel in a version folder.

    An `ElmoLayer` gets the signatures `default`, `tokens` and `serving_default` with
    TF-Hub ELMo's names (see `saved_model.signatures`); a Keras model gets
    `serving_default` with its own inputs and outputs. No state is exported.

    Args:
        model: A built `ElmoLayer`, or a functional model.
        directory: The model's base folder, made if absent; its name is the model's
            name for TensorFlow Serving.
        version: int >= 1, the folder's name; None: one above the highest there is.

    Returns:
        The path of the version's folder. It appears whole or not at all, for a
        running server looks for new versions all the time.

    Raises:
        FileExistsError: The version is there already.
        ValueError: A model that is not built, or a version that is no int >= 1.

    >>> keras_elmo.export_saved_model(elmo, "models/my_elmo")
    'models/my_elmo/1'
    """
    if version is not None and (not isinstance(version, int) or version < 1):
        raise ValueError(
            "export_saved_model: expected version to be an int >= 1, "
            f"received {version}."
        )
    if not getattr(model, "built", False):
        raise ValueError("export_saved_model: expected a built model, with weights.")
    directory = os.fspath(directory)
    os.makedirs(directory, exist_ok=True)
    taken = {int(n) for n in os.listdir(directory) if n.isdecimal()}
    if version is None:
        version = max(taken, default=0) + 1
    target = os.path.join(directory, str(version))
    if version in taken:
        raise FileExistsError(f"{target}: expected a new version, found one.")
    # In the same file system, and with a name that no server takes for a version.
    beside = tempfile.mkdtemp(prefix=".export-", dir=directory)
    try:
        _write(model, beside)
        os.chmod(beside, 0o755)
        os.rename(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def _write(model, folder):
    # A bare module: saving a Keras model itself stores all variables twice, and asks
    # the model for signatures of its own, which fail for strings.
    module = tf.Module()
    module.variables_ = [variable.value for variable in model.variables]
    layers = [model] if isinstance(model, ElmoLayer) else elmo_layers(model)
    module.resources_ = [x.reader.table() for x in layers if not x.reads_characters]
    if isinstance(model, ElmoLayer):
        signatures = elmo_signatures(model)
    else:
        signatures = model_signatures(model)
    with _stateless(layers):
        tf.saved_model.save(module, folder, signatures=signatures)


@contextlib.contextmanager
def _stateless(layers):
    """Signatures that are traced in this block have no state."""
    stateful = [layer for layer in layers if layer.stateful]
    for layer in stateful:
        layer.stateful = False
    try:
        yield
    finally:
        for layer in stateful:
            layer.stateful = True
