"""Writing a version folder that TensorFlow Serving picks up."""

import contextlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.errors import PaddingWarning
from keras_elmo.resolver import elmo_layers
from keras_elmo.saved_model.card import write_card
from keras_elmo.saved_model.model_signatures import model_signatures
from keras_elmo.saved_model.session import (
    changed_by_padding,
    open_session,
    read_meta_graph,
    replay_warmup,
)
from keras_elmo.saved_model.signatures import LAYERS, POOLINGS, elmo_signatures
from keras_elmo.saved_model.version_folders import HIGHEST_VERSION, version_folders
from keras_elmo.saved_model.warmup import MOST_RECORDS, write_warmup


def export_saved_model(
    model: ElmoLayer | keras.Model,
    directory: str | os.PathLike,
    version: int | None = None,
    *,
    labels: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    text: bool = False,
    layers: str = "all",
    pooling: str = "mean",
    batch_sizes: Sequence[int] = (1,),
    source: str | None = None,
) -> str:
    """Export a model as a SavedModel in a version folder.

    An `ElmoLayer` gets signatures with TF-Hub ELMo's names, `default`, `tokens` and
    more, see `saved_model.signatures`; a Keras model around one gets the same ways in,
    see `saved_model.model_signatures`. The folder holds each variable once, warm-up
    requests, which have been run when it appears, and a README with all signatures.

    Args:
        model: A built `ElmoLayer`, or a functional or Sequential model.
        directory: The model's base folder, made if absent; its name is the model's
            name for TensorFlow Serving.
        version: int >= 1, the folder's name; None: one above the highest there is.
        labels: Names of a Keras model's classes, of one output as a list, of several
            as a mapping from their names; given as string outputs and to `classify`.
        text: Whether there is a signature `text`, for raw text. Its ops are those of
            tensorflow-text, which TensorFlow Serving has and a bare TensorFlow not.
        layers: Of an `ElmoLayer`: `"all"` outputs; or `elmo` of the layer's `"mix"`,
            of its `"top"` layer or of the `"average"` of all, without the others.
        pooling: Of an `ElmoLayer`: what `default` is of the words' vectors, their
            `"mean"`, `"max"`, or the `"last"`.
        batch_sizes: Numbers of sentences for the warm-up requests, one each for every
            signature: a server's `allowed_batch_sizes`. Empty: no such requests.
        source: What the README says the model was made from; None: the layer's name.

    Returns:
        The path of the version's folder. It appears whole or not at all, for a
        running server looks for new versions all the time.

    Raises:
        FileExistsError: The version is there already.
        ValueError: A model that is not built, or that fails its warm-up requests; an
            argument that is not one of the above, or not for this kind of model.

    Warns, by `errors.PaddingWarning`, where padding changes what a Keras model answers:
    a layer of it does not heed the mask, as `keras.ops.max` over words does not.

    >>> keras_elmo.export_saved_model(elmo, "models/my_elmo")
    'models/my_elmo/1'
    """
    _check(model, version, labels, layers, pooling, batch_sizes)
    directory = os.fspath(directory)
    os.makedirs(directory, exist_ok=True)
    taken = version_folders(directory)
    if version is None:
        version = max(taken, default=0) + 1
    target = os.path.join(directory, str(version))
    if version in taken:
        raise _exists(target)
    name = os.path.basename(os.path.abspath(directory))
    # In the same file system, and with a name that no server takes for a version.
    beside = tempfile.mkdtemp(prefix=".export-", dir=directory)
    try:
        is_elmo = isinstance(model, ElmoLayer)
        elmos = [model] if is_elmo else elmo_layers(model)
        with _stateless(elmos):
            if is_elmo:
                signatures = elmo_signatures(model, text, layers, pooling)
            else:
                signatures = model_signatures(model, text, labels)
            _save(model, elmos, signatures, beside)
        definitions = read_meta_graph(beside).signature_def
        definitions = {name: definitions[name] for name in signatures}
        if batch_sizes:
            write_warmup(beside, name, definitions, batch_sizes)
        changed = []
        if batch_sizes or not is_elmo:
            with contextlib.closing(open_session(beside)) as session:
                replay_warmup(session, beside, definitions)
                if not is_elmo:
                    changed = changed_by_padding(session, definitions)
        write_card(beside, name, source or model.name, definitions, changed)
        _flush(beside)
        os.chmod(beside, 0o755)
        try:
            os.rename(beside, target)
        except OSError as error:  # made by another process meanwhile
            if not os.path.exists(target):
                raise
            raise _exists(target) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    if changed:
        warnings.warn(
            f"{target}: padding behind a sentence changes these outputs: "
            f"{', '.join(changed)}. A layer of the model does not heed its mask, so an "
            "answer depends on the sentences beside it in a batch, here as on a "
            "server.",
            PaddingWarning,
            stacklevel=2,
        )
    return target


def _exists(target):
    return FileExistsError(f"{target}: expected a new version, found one.")


def _check(model, version, labels, layers, pooling, batch_sizes):
    if version is not None and not (
        isinstance(version, int) and 1 <= version <= HIGHEST_VERSION
    ):
        _refuse("version to be an int >= 1, below 2**63", version)
    if not isinstance(model, (ElmoLayer, keras.Model)):
        _refuse("an ElmoLayer or a Keras model", model)
    if not model.built:
        raise ValueError("export_saved_model: expected a built model, with weights.")
    if layers not in LAYERS:
        _refuse(f"layers to be one of {', '.join(LAYERS)}", layers)
    if pooling not in POOLINGS:
        _refuse(f"pooling to be one of {', '.join(POOLINGS)}", pooling)
    if not isinstance(batch_sizes, Sequence):
        _refuse("batch_sizes to be a list of ints", batch_sizes)
    sizes = list(batch_sizes)
    if any(not isinstance(size, int) or size < 1 for size in sizes):
        _refuse("batch_sizes to be ints >= 1", sizes)
    if len(sizes) > MOST_RECORDS // 10:
        _refuse(f"at most {MOST_RECORDS // 10} batch_sizes", len(sizes))
    if isinstance(model, ElmoLayer):
        if labels is not None:
            _refuse("no labels, which name the classes of a Keras model", labels)
    elif (layers, pooling) != ("all", "mean"):
        _refuse("layers and pooling for an ElmoLayer alone", f"{layers}, {pooling}")


def _refuse(expected, received):
    raise ValueError(f"export_saved_model: expected {expected}, received {received!r}.")


def _save(model, elmos, signatures, folder):
    # A bare module: saving a Keras model itself stores all variables twice, and asks
    # the model for signatures of its own, which fail for strings.
    module = tf.Module()
    module.variables_ = [variable.value for variable in model.variables]
    module.resources_ = [x.reader.table() for x in elmos if not x.reads_characters]
    caches = [x.reader.cache for x in elmos if x.reader.cache is not None]
    module.caches_ = [[cache.table, cache.vectors.value] for cache in caches]
    if not isinstance(model, ElmoLayer):
        layers = model._flatten_layers()  # StringLookup and its kin
        tables = [getattr(layer, "lookup_table", None) for layer in layers]
        module.tables_ = [table for table in tables if table is not None]
    for name, function in signatures.items():
        setattr(module, name, function)  # for Keras' TFSMLayer
    tf.saved_model.save(module, folder, signatures=signatures)
    others = [name for name in ("classify", "regress") if name in signatures]
    if others:
        # TensorFlow writes `predict` for all.
        updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(folder)
        for name in others:
            updater.replace_method_name(
                signature_key=name,
                method_name=f"tensorflow/serving/{name}",
                tags=["serve"],
            )
        updater.save()


def _flush(folder):
    """Have all of it on the disk before it gets its name."""
    for path, _, files in os.walk(folder):
        for name in [".", *files]:
            descriptor = os.open(os.path.join(path, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


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
