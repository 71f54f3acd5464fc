"""What a model is and what its files hold, as facts."""

import contextlib
import json
import math
import os
import re
import shutil
import tempfile
import zipfile
from typing import Any

import h5py
import keras

from keras_elmo.ai2.checkpoint import BilmCheckpoint
from keras_elmo.ai2.files import OPTIONS, SOFTMAX, VOCABULARY, WEIGHTS
from keras_elmo.ai2.hdf5_file import data_sets, open_hdf5
from keras_elmo.ai2.run_checkpoint import BEST, LAST, RUN
from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.layers.character_encoder import CharacterEncoder
from keras_elmo.presets.catalog import PRESETS, preset_directory
from keras_elmo.presets.files import PRESET
from keras_elmo.resolver import (
    elmo_layers,
    load_model,
    model_name,
    read_checkpoint,
)

# Files that belong to a model's folder and are nothing to remark on.
_USUAL = {OPTIONS, PRESET, SOFTMAX, VOCABULARY, RUN, LAST, BEST}
_USUAL |= {"README.md", "lock", "log.jsonl"}


def inspect_model(source: str | os.PathLike) -> dict[str, Any]:
    """Describe a model in any of the forms that `resolver.load_model` takes.

    Args:
        source: See there. The model is loaded, so what is wrong with it is found.

    Returns:
        A dict that JSON can hold:

        - `source`, and `form`, what it was recognised as;
        - `files`: of each file `name` and `bytes`;
        - `stored_dtypes`: of the weights in them;
        - `elmo_layers`: of each `ElmoLayer` its `name`, `options`, `width` of an
          output, `mixes` (softmax weights and gamma), and `parts`: of each `name`,
          `parameters`, `trainable_parameters` and `bytes` (in memory);
        - `layers`: of a `.keras` file each layer's `name`, `class`, `parameters` and
          `trainable_parameters`; empty for the other forms;
        - `parameters`, `trainable_parameters` and `bytes` of all;
        - `notes`: what AI2's format can have and this has not, or has otherwise.

    Raises:
        FormatError: What is wrong with a file.
        OSError: No such model, or a file that cannot be read.

    >>> facts = inspect_model("elmo_tiny_en")
    >>> facts["form"], facts["elmo_layers"][0]["width"]
    ('preset', 256)
    """
    source = os.fspath(source)
    model = load_model(source)
    described = [model] if isinstance(model, ElmoLayer) else elmo_layers(model)
    facts = {
        "source": source,
        **_describe_files(source),
        "elmo_layers": [_describe_elmo(elmo) for elmo in described],
        "layers": [],
    }
    if isinstance(model, ElmoLayer):
        # A layer that was made just now has a name that says nothing.
        facts["elmo_layers"][0]["name"] = model_name(source)
        total = facts["elmo_layers"][0]["parts"]
    else:
        trainable = _identities(model.trainable_weights)
        total = facts["layers"] = [
            {
                "name": layer.name,
                "class": type(layer).__name__,
                **_count(layer.weights, trainable),
            }
            for layer in model.layers
        ]
    for key in ("parameters", "trainable_parameters", "bytes"):
        facts[key] = sum(row[key] for row in total)
    return facts


def _describe_elmo(elmo):
    trainable = _identities(elmo.trainable_weights)
    return {
        "name": elmo.name,
        "options": _options(elmo),
        "width": 2 * elmo.bilm.direction_dim,
        "mixes": [
            {
                "layer_weights": None
                if mix.use_top_only
                else [float(weight) for weight in mix.layer_weights],
                "gamma": float(keras.ops.convert_to_numpy(mix.gamma)),
            }
            for mix in elmo.mixes
        ],
        "parts": [
            {"name": name, **_count(weights, trainable)}
            for name, weights in _parts(elmo)
            if weights
        ],
    }


def _options(elmo):
    encoder, bilm = elmo.token_encoder, elmo.bilm
    options = {"input": "characters" if elmo.reads_characters else "words"}
    if not elmo.reads_characters:
        options["vocabulary_size"] = len(elmo.vocabulary)
    if isinstance(encoder, CharacterEncoder):
        options |= {
            "max_chars_per_token": elmo.max_chars_per_token,
            "embedding_dim": encoder.embedding_dim,
            "filters": [list(pair) for pair in encoder.filters],
            "activation": encoder.activation,
            "num_highway": encoder.num_highway,
        }
    return options | {
        "units": bilm.units,
        "projection_dim": bilm.projection_dim,
        "num_layers": bilm.num_layers,
        "cell_clip": bilm.cell_clip,
        "proj_clip": bilm.proj_clip,
        "skip_connections": bilm.skip_connections,
        "num_representations": elmo.num_representations,
        "dropout": elmo.dropout,
        "do_layer_norm": elmo.do_layer_norm,
        "use_top_only": elmo.use_top_only,
        "l2_coef": elmo.l2_coef,
        "fine_tune": elmo.fine_tune,
        "keep_sentence_boundaries": elmo.keep_sentence_boundaries,
        "stateful": elmo.stateful,
    }


def _parts(elmo):
    encoder = elmo.token_encoder
    if isinstance(encoder, CharacterEncoder):
        cnn = encoder.char_cnn
        yield "characters", [cnn.embedding]
        yield "convolutions", [*cnn.kernels, *cnn.biases]
        for name in ("highway", "projection"):
            layer = getattr(encoder, name)
            yield name, [] if layer is None else layer.weights
    else:
        yield "words", encoder.weights
    yield "forward LSTMs", elmo.bilm.forward_stack.weights
    yield "backward LSTMs", elmo.bilm.backward_stack.weights
    yield "mixes", [weight for mix in elmo.mixes for weight in mix.weights]


def _identities(weights):
    return {id(weight) for weight in weights}


def _count(weights, trainable):
    sizes = [math.prod(weight.shape) for weight in weights]
    pairs = list(zip(weights, sizes, strict=True))
    return {
        "parameters": sum(sizes),
        "trainable_parameters": sum(n for w, n in pairs if id(w) in trainable),
        "bytes": sum(n * _bits(w.dtype) // 8 for w, n in pairs),
    }


def _bits(dtype):
    # NumPy does not know bfloat16 by its name.
    return int(re.sub(r"\D", "", dtype) or 8)


def _describe_files(source):
    if source in PRESETS:
        return {"form": "preset", **_describe_folder(preset_directory(source))}
    checkpoint = read_checkpoint(source)
    if checkpoint is not None:
        return _describe_checkpoint(source, checkpoint)
    if os.path.isdir(source):
        names = os.listdir(source)
        form = "folder"
        if PRESET in names:
            form = "preset's folder"
        elif SOFTMAX in names:
            form = "training run's folder"
        return {"form": form, **_describe_folder(source)}
    if not zipfile.is_zipfile(source):
        return {"form": "pair of files", **_describe_pair(*source.split(","))}
    with zipfile.ZipFile(source) as archive:
        if source.endswith(".keras"):
            return _describe_keras(archive)
        return {"form": "ZIP archive", **_describe_archive(archive)}


def _describe_checkpoint(source, checkpoint):
    of_bilm = isinstance(checkpoint, BilmCheckpoint)
    if of_bilm:
        form = "folder of a training with bilm-tf"
    elif os.path.isdir(source):
        form = "training run's folder, not finished"
    else:
        form = "training run's checkpoint"
    names, dtypes = set(checkpoint.arrays), _dtypes(checkpoint.arrays)
    return {
        "form": form,
        "files": _files(_sizes(source))
        if os.path.isdir(source)
        else [{"name": source, "bytes": os.path.getsize(source)}],
        "stored_dtypes": dtypes,
        "notes": [
            f"{os.path.basename(checkpoint.path)}: step {checkpoint.step}",
            *_options_notes(checkpoint.options, in_training=of_bilm),
            *_weights_notes(names, dtypes),
            *_checkpoint_notes(checkpoint, names),
            *_file_notes({SOFTMAX}),
        ],
    }


def _checkpoint_notes(checkpoint, names):
    if "softmax/b" not in names:
        yield "softmax: absent; without a softmax there is no perplexity"
    elif "softmax/W" not in names:
        yield "softmax/W: absent; the words' vectors are the softmax too"
    if isinstance(checkpoint, BilmCheckpoint) and not checkpoint.accumulators:
        yield "Adagrad: absent; training goes on from new accumulators"


def _sizes(folder):
    with os.scandir(folder) as entries:
        return {e.name: e.stat().st_size for e in entries if e.is_file()}


def _describe_folder(folder):
    sizes = _sizes(folder)
    with (
        open(os.path.join(folder, OPTIONS), "rb") as file,
        open_hdf5(os.path.join(folder, _weights_name(sizes))) as stored,
    ):
        return {
            "files": _files(sizes),
            **_describe_ai2(json.load(file), data_sets(stored), set(sizes)),
        }


def _describe_pair(options, weights):
    beside = os.path.join(os.path.dirname(weights), SOFTMAX)
    with open(options, "rb") as file, open_hdf5(weights) as stored:
        return {
            "files": [
                {"name": path, "bytes": os.path.getsize(path)}
                for path in (options, weights)
            ],
            **_describe_ai2(
                json.load(file),
                data_sets(stored),
                {SOFTMAX} if os.path.exists(beside) else set(),
            ),
        }


def _describe_archive(archive):
    members = {
        os.path.basename(member.filename): member
        for member in archive.infolist()
        if not member.is_dir()
    }
    sizes = {name: member.file_size for name, member in members.items()}
    with (
        archive.open(members[OPTIONS]) as file,
        _opened_member(archive, members[_weights_name(sizes)]) as stored,
    ):
        return {
            "files": _files(sizes),
            **_describe_ai2(json.load(file), data_sets(stored), set(sizes)),
        }


def _describe_keras(archive):
    weights = archive.getinfo("model.weights.h5")
    with _opened_member(archive, weights) as stored:
        dtypes = _dtypes(data_sets(stored))
    metadata = json.loads(archive.read("metadata.json"))
    return {
        "form": "Keras model",
        "files": _files({m.filename: m.file_size for m in archive.infolist()}),
        "stored_dtypes": dtypes,
        "notes": [f"saved with Keras {metadata.get('keras_version')}"],
    }


@contextlib.contextmanager
def _opened_member(archive, member):
    # HDF5 reads to and fro, which in a compressed member starts again each time.
    with archive.open(member) as packed, tempfile.TemporaryFile() as file:
        shutil.copyfileobj(packed, file)
        with h5py.File(file, "r") as stored:
            yield stored


def _weights_name(names):
    """Which of the files of a folder that loads has the weights."""
    if PRESET in names and WEIGHTS in names:
        return WEIGHTS
    (name,) = (n for n in names if n.endswith((".hdf5", ".h5")) and n != SOFTMAX)
    return name


def _files(sizes):
    return [{"name": name, "bytes": sizes[name]} for name in sorted(sizes)]


def _dtypes(arrays):
    return sorted({str(array.dtype) for array in arrays.values()})


def _describe_ai2(options, arrays, file_names):
    dtypes = _dtypes(arrays)
    return {
        "stored_dtypes": dtypes,
        "notes": [
            *_options_notes(options),
            *_weights_notes(set(arrays), dtypes),
            *_file_notes(file_names),
        ],
    }


def _options_notes(options, in_training=False):
    lstm, char_cnn = options["lstm"], options.get("char_cnn")
    if char_cnn is None:
        yield "char_cnn: absent; words are looked up, not spelled"
    else:
        number = char_cnn.get("n_characters")
        if number is None:
            yield "char_cnn.n_characters: absent; 262 is taken"
        elif number == 261 and not in_training:
            yield (
                "char_cnn.n_characters: 261, as in training; bilm-tf reads the file "
                "only with 262, the model is the same"
            )
        if not char_cnn.get("n_highway"):
            yield "char_cnn.n_highway: no highway layers"
    for key, what in [("cell_clip", "cells"), ("proj_clip", "outputs")]:
        if lstm.get(key) is None:
            yield f"lstm.{key}: absent; the LSTMs' {what} are not clipped"
    if "use_skip_connections" not in lstm:
        yield (
            "lstm.use_skip_connections: absent; there are none (bilm-tf does not read "
            "the file without it)"
        )
    others = sorted(set(options) - {"lstm", "char_cnn"})
    if others:
        yield f"options of training, not used here: {', '.join(others)}"


def _weights_notes(names, dtypes):
    if "char_embed" in names and "CNN_proj/W_proj" not in names:
        yield "CNN_proj: absent; there are as many filters as lstm.projection_dim"
    if not any(name.endswith("W_P_0") for name in names):
        yield "W_P_0: absent; the LSTMs have no projection"
    if any(name.startswith("RNN_0/RNN/LSTMCell") for name in names):
        yield (
            "RNN_0/RNN/LSTMCell: how bilm-tf writes a model of one layer; it reads "
            "only RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell"
        )
    if dtypes != ["float32"]:
        yield f"weights are stored as {', '.join(dtypes)}; bilm-tf writes float32"


def _file_notes(names):
    if SOFTMAX not in names:
        yield f"{SOFTMAX}: absent; without a softmax there is no perplexity"
    if PRESET not in names:
        yield f"{PRESET}: absent; the mix is the plain mean of the layers"
    others = sorted(n for n in names - _USUAL if not n.endswith((".hdf5", ".h5")))
    if others:
        yield f"other files: {', '.join(others)}"
