"""Exports that several files look into; each takes seconds to make."""

import keras
import pytest
import tensorflow as tf

import keras_elmo
from tests.helpers import load_golden


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
