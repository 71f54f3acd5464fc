"""From what a user writes on a command line to a model: the one place that knows."""

import os
import tempfile
import zipfile

import keras

from keras_elmo.ai2.checkpoint import (
    BilmCheckpoint,
    has_bilm_checkpoint,
    read_bilm_checkpoint,
)
from keras_elmo.ai2.files import OPTIONS, SOFTMAX, VOCABULARY, checkpoint_layers
from keras_elmo.ai2.run_checkpoint import (
    LAST,
    RUN,
    RunCheckpoint,
    read_run_checkpoint,
)
from keras_elmo.ai2_pair import load_ai2
from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.errors import FormatError
from keras_elmo.presets.catalog import PRESETS
from keras_elmo.presets.files import PRESET

FORMS = (
    f"a preset's name ({', '.join(PRESETS)}), a preset's folder, a folder or ZIP "
    "archive with options.json and one .hdf5 file, OPTIONS.json,WEIGHTS.hdf5, a .keras "
    "file, the folder of a training run, ours or bilm-tf's, or an .npz checkpoint of "
    "ours"
)


def load_model(source: str | os.PathLike) -> ElmoLayer | keras.Model:
    """Load a model from any of the forms in which ELMo models come.

    Args:
        source: A preset's name; the folder of a preset or of a training run, finished
            or not; AI2's pair as `OPTIONS,WEIGHTS`; a folder or a ZIP archive as in the
            NLPL repository (`options.json`, one `.hdf5` file, perhaps others); a
            `.keras` file; a run's `.npz` checkpoint; the folder in which bilm-tf
            trained. Checkpoints of word input have their `vocab.txt` beside them.

    Returns:
        A built `ElmoLayer`; of a `.keras` file the model in it.

    Raises:
        FormatError: A file that does not hold what it should.
        FileNotFoundError: None of these.

    >>> load_model("elmo_tiny_en").bilm.num_layers
    2
    """
    source = os.fspath(source)
    if source in PRESETS:
        return ElmoLayer.from_preset(source)
    checkpoint = read_checkpoint(source)
    if checkpoint is not None:
        return _load_checkpoint(checkpoint)
    if os.path.isdir(source):
        return _load_folder(source, source)
    if zipfile.is_zipfile(source):
        if source.endswith(".keras"):
            return _load_keras(source)
        return _load_archive(source)
    if os.path.exists(source):
        if source.endswith((".zip", ".keras")):
            raise FormatError(
                f"{source}: expected a whole ZIP archive, found one that is cut off or "
                "damaged."
            )
        raise FormatError(f"{source}: expected {FORMS}, found another file.")
    if source.count(",") == 1:
        return _load_pair(*source.split(","))
    raise FileNotFoundError(f"{source}: expected {FORMS}, found nothing of that name.")


def load_elmo(source: str | os.PathLike) -> ElmoLayer:
    """As `load_model`, for what needs the layer itself.

    A `.keras` file is searched for its one `ElmoLayer`.

    Raises:
        FormatError: A `.keras` file with none, or with several.
    """
    model = load_model(source)
    if isinstance(model, ElmoLayer):
        return model
    found = elmo_layers(model)
    if len(found) != 1:
        raise FormatError(
            f"{source}: expected a model with one ElmoLayer, found {len(found)}."
        )
    return found[0]


def read_checkpoint(
    source: str | os.PathLike,
) -> BilmCheckpoint | RunCheckpoint | None:
    """The checkpoint of a training that `source` names, None for the other forms.

    A folder with AI2's pair or with a preset is none, whatever else is in it.

    Raises:
        FormatError: What is wrong with it, or that a run has none yet.
        OSError: A file that cannot be opened.

    >>> read_checkpoint("elmo_tiny_en"), read_checkpoint("my_elmo")
    (None, None)
    """
    source = os.fspath(source)
    if source in PRESETS:
        return None
    if os.path.isfile(source) and source.endswith(".npz"):
        return read_run_checkpoint(source)
    if not os.path.isdir(source):
        return None
    names = os.listdir(source)
    if PRESET in names:
        return None
    if RUN in names and OPTIONS not in names:  # that is written last
        if LAST not in names:
            raise FormatError(
                f"{source}: expected {LAST} (the run is not finished), found no "
                "checkpoint yet."
            )
        return read_run_checkpoint(os.path.join(source, LAST))
    if OPTIONS in names and len(_weights_files(names)) == 1:
        return None
    return read_bilm_checkpoint(source) if has_bilm_checkpoint(source) else None


def elmo_layers(model: keras.Model) -> list[ElmoLayer]:
    """The `ElmoLayer`s of a model, those of models within it too."""
    found = []
    for layer in model.layers:
        if isinstance(layer, ElmoLayer):
            found.append(layer)
        elif isinstance(layer, keras.Model):
            found += elmo_layers(layer)
    return found


def model_name(source: str | os.PathLike) -> str:
    """What to call a model that was loaded from `source`.

    >>> model_name("models/144.zip"), model_name("a/options.json,a/weights.hdf5")
    ('144', 'weights')
    """
    last = os.fspath(source).split(",")[-1].rstrip("/\\") or "model"
    name = os.path.basename(os.path.abspath(last))
    return name if os.path.isdir(last) else os.path.splitext(name)[0]


def _load_checkpoint(checkpoint):
    vocabulary = os.path.join(os.path.dirname(checkpoint.path), VOCABULARY)
    if "char_cnn" not in checkpoint.options and not os.path.exists(vocabulary):
        raise FormatError(
            f"{vocabulary}: expected the words that {checkpoint.path} reads (its "
            "options have no char_cnn), found no such file."
        )
    layers = checkpoint_layers(
        checkpoint.path, checkpoint.options, checkpoint.arrays, vocabulary
    )
    elmo = ElmoLayer(**layers)
    elmo.build(None)
    return elmo


def _weights_files(names):
    return [n for n in names if n.endswith((".hdf5", ".h5")) and n != SOFTMAX]


def _load_folder(folder, called):
    names = sorted(os.listdir(folder))
    if PRESET in names:
        return ElmoLayer.from_preset(folder)
    weights = _weights_files(names)
    if OPTIONS not in names or len(weights) != 1:
        found = ", ".join(names[:8]) or "nothing"
        raise FormatError(
            f"{called}: expected {OPTIONS} and one .hdf5 file, or a checkpoint of a "
            f"training, found {found}."
        )
    vocabulary = os.path.join(folder, VOCABULARY)
    return _load_pair(
        os.path.join(folder, OPTIONS),
        os.path.join(folder, weights[0]),
        vocabulary if os.path.exists(vocabulary) else None,
    )


def _load_pair(options, weights, vocabulary=None):
    try:
        return load_ai2(options, weights, vocabulary_file=vocabulary)
    except FormatError:
        raise
    except ValueError as error:  # word input without a vocabulary
        raise FormatError(f"{options}: {error}") from error


def _load_archive(path):
    with tempfile.TemporaryDirectory(prefix="keras_elmo-") as folder:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                # Flat, by the last part of the name: some archives have a folder, and
                # no name can then lead outside.
                name = os.path.basename(member.filename)
                if name.startswith("."):  # macOS packs such a shadow of each file
                    continue
                if name.endswith((".json", ".hdf5", ".h5", "vocab.txt")):
                    with (
                        archive.open(member) as packed,
                        open(os.path.join(folder, name), "wb") as file,
                    ):
                        while block := packed.read(1 << 20):
                            file.write(block)
        try:
            return _load_folder(folder, path)
        except FormatError as error:
            # The user knows the archive, not where it was unpacked.
            text = str(error).replace(folder + os.sep, f"{path}/")
            raise FormatError(text) from error


def _load_keras(path):
    try:
        model = keras.models.load_model(path)
    except (ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise FormatError(
            f"{path}: expected a Keras model, found: {reason[:300]}"
        ) from error
    if not elmo_layers(model):
        raise FormatError(f"{path}: expected a model with an ElmoLayer, found none.")
    return model
