"""What an exported tagger answers to."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from keras_elmo.saved_model.model_signatures import model_signatures
from keras_elmo.saved_model.session import read_meta_graph
from tests.helpers import load_golden

SENTENCES = ["The  cat sat", "", "Züge"]
WORDS = np.array([["The", "cat", "sat"], ["", "", ""], ["Züge", "", ""]])
LENGTHS = np.array([3, 0, 1])
REAL = np.arange(3) < LENGTHS[:, None]


def assert_is_the_models_answer(outputs, tagger):
    tags, topic, rating = (x.numpy() for x in tagger(tf.constant(WORDS)))
    np.testing.assert_allclose(outputs["tags"], tags * REAL[:, :, None], atol=1e-6)
    words = np.where(REAL, np.array([b"N", b"V", b"A"])[tags.argmax(-1)], b"")
    np.testing.assert_array_equal(outputs["tags_labels"], words)
    # Of a sentence of no words Keras' mean is 0 / 0.
    some = LENGTHS > 0
    np.testing.assert_allclose(outputs["topic"][some], topic[some], atol=1e-6)
    np.testing.assert_allclose(outputs["rating"][some], rating[some], atol=1e-6)
    np.testing.assert_array_equal(
        outputs["topic_labels"][some],
        np.array([b"news", b"sport"])[topic[some].argmax(-1)],
    )
    np.testing.assert_array_equal(outputs["lengths"], LENGTHS)


@pytest.mark.parametrize("signature", ["default", "serving_default"])
def test_strings_in_scores_and_labels_out(exported_tagger, tagger, signature):
    outputs = exported_tagger.signatures[signature](strings=tf.constant(SENTENCES))
    assert_is_the_models_answer(outputs, tagger)


def test_tokens_end_where_sequence_len_says(exported_tagger, tagger):
    padded = np.array([["The", "cat", "sat"], ["x"] * 3, ["Züge"] * 3])
    outputs = exported_tagger.signatures["tokens"](
        tokens=tf.constant(padded), sequence_len=tf.constant(LENGTHS, tf.int32)
    )
    assert_is_the_models_answer(outputs, tagger)


def examples(*sentences):
    return tf.constant(
        [
            tf.train.Example(
                features=tf.train.Features(
                    feature={
                        "tokens": tf.train.Feature(
                            bytes_list=tf.train.BytesList(
                                value=[word.encode() for word in sentence.split()]
                            )
                        )
                    }
                )
            ).SerializeToString()
            for sentence in sentences
        ]
    )


def test_examples_are_classified_and_regressed(exported_tagger, tagger):
    _, topic, rating = tagger(tf.constant(WORDS[[0, 2]]))
    inputs = examples("The cat sat", "Züge")
    outputs = exported_tagger.signatures["classify"](inputs=inputs)
    assert set(outputs) == {"scores", "classes"}
    np.testing.assert_allclose(outputs["scores"], topic, atol=1e-6)
    np.testing.assert_array_equal(outputs["classes"], [[b"news", b"sport"]] * 2)
    outputs = exported_tagger.signatures["regress"](inputs=inputs)
    np.testing.assert_allclose(outputs["outputs"], rating[:, 0], atol=1e-6)


def test_method_names_are_those_that_a_server_demands(tagger_folder):
    signatures = read_meta_graph(tagger_folder).signature_def
    names = {n: s.method_name for n, s in signatures.items() if not n.startswith("__")}
    assert names == {
        "default": "tensorflow/serving/predict",
        "serving_default": "tensorflow/serving/predict",
        "tokens": "tensorflow/serving/predict",
        "classify": "tensorflow/serving/classify",
        "regress": "tensorflow/serving/regress",
    }
    assert list(signatures["classify"].inputs) == ["inputs"]
    assert set(signatures["classify"].outputs) == {"classes", "scores"}
    assert list(signatures["regress"].outputs) == ["outputs"]


def words_input():
    return keras.Input((None,), dtype="string", name="words")


@pytest.fixture(scope="module")
def elmo():
    return load_golden("tiny")


def test_a_model_that_takes_lengths_is_given_them(elmo):
    words, lengths = words_input(), keras.Input((), dtype="int64", name="how_many")
    model = keras.Model([words, lengths], elmo(words, lengths=lengths))
    tokens = model_signatures(model)["tokens"]
    # The second word is empty, and a word all the same.
    outputs = tokens(tf.constant([["a", "", "b"]]), tf.constant([2]))
    expected = elmo(np.array([["a", ""]]), lengths=np.array([2]))
    np.testing.assert_allclose(outputs[elmo.name][:, :2], expected, atol=1e-6)
    assert not outputs[elmo.name][:, 2:].numpy().any()


def test_other_inputs_keep_their_names(elmo):
    words, year = words_input(), keras.Input((1,), name="year")
    mean = keras.layers.GlobalAveragePooling1D()(elmo(words))
    both = keras.layers.Concatenate(name="both")([mean, year])
    signatures = model_signatures(keras.Model({"words": words, "year": year}, both))
    assert set(signatures) == {"default", "serving_default", "tokens"}
    outputs = signatures["default"](tf.constant(["a b"]), tf.constant([[7.0]]))
    np.testing.assert_array_equal(outputs["both"][:, -1], [7.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="strings and year: exp"):
        signatures["default"](tf.constant(["a", "b"]), tf.constant([[7.0]]))


def test_a_probability_is_that_of_the_second_of_two_labels(elmo):
    words = words_input()
    mean = keras.layers.GlobalAveragePooling1D()(elmo(words))
    good = keras.layers.Dense(1, "sigmoid", name="good")(mean)
    model = keras.Model(words, good)
    signatures = model_signatures(model, labels=["bad", "good"])
    assert "regress" not in signatures
    outputs = signatures["classify"](examples("The cat", "Züge"))
    p = model(tf.constant([["The", "cat"], ["Züge", ""]])).numpy()
    np.testing.assert_allclose(outputs["scores"], np.hstack([1 - p, p]), atol=1e-6)
    np.testing.assert_array_equal(outputs["classes"], [[b"bad", b"good"]] * 2)
    labels = signatures["default"](tf.constant(["The cat", "Züge"]))["labels"]
    expected = np.where(p[:, 0] > 0.5, b"good", b"bad")
    np.testing.assert_array_equal(labels, expected)


def test_raw_text_is_tokenised(tagger):
    outputs = model_signatures(tagger, text=True)["text"](tf.constant(["Züge, (2)"]))
    assert outputs["words"].numpy().tolist() == [
        [word.encode() for word in ("Züge", ",", "(", "2", ")")]
    ]
    text = "Züge, (2)".encode()
    for start, end, word in zip(
        outputs["starts"][0], outputs["ends"][0], outputs["words"][0], strict=True
    ):
        assert text[start:end] == word.numpy()
    assert outputs["tags"].shape == (1, 5, 3)


def test_a_model_of_other_inputs_keeps_its_own_signature(elmo):
    texts = keras.Input((), dtype="string", name="texts")
    tokens = keras_elmo.text.tokenize(texts)
    model = keras.Model(texts, elmo(tokens.words, lengths=tokens.lengths))
    (signature,) = model_signatures(model).values()
    outputs = signature(tf.constant(["a cat, too"]))
    expected = model(tf.constant(["a cat, too"]))
    np.testing.assert_allclose(outputs[elmo.name], expected, atol=1e-6)
    with pytest.raises(ValueError, match="one string input .* received inputs texts"):
        model_signatures(model, text=True)


def refuse_subclassed(elmo, words):
    class Subclassed(keras.Model):
        def call(self, inputs):
            return elmo(inputs)

    return Subclassed(), None


def refuse_fixed_batch(elmo, words):
    words = keras.Input(batch_shape=(2, None), dtype="string", name="words")
    return keras.Model(words, elmo(words)), None


def refuse_taken_name(elmo, words):
    return keras.Model(words, {"lengths": elmo(words)}), None


def refuse_same_names(elmo, words):
    vectors = elmo(words)
    return keras.Model(words, [vectors, vectors]), None


def refuse_string_labels(elmo, words):
    return keras.Model(words, elmo(words)), "NV"


def refuse_too_few_labels(elmo, words):
    return keras.Model(words, elmo(words)), ["N", "V"]


def refuse_labels_of_no_output(elmo, words):
    return keras.Model(words, elmo(words)), {"tags": ["N"]}


def refuse_wrong_count(elmo, words):
    tags = keras.layers.Dense(3, name="tags")(elmo(words))
    return keras.Model(words, tags), {"tags": ["N"]}


def refuse_label_name(elmo, words):
    tags = keras.layers.Dense(3, name="labels")(elmo(words))
    return keras.Model(words, tags), ["N", "V", "A"]


def refuse_number_labels(elmo, words):
    tags = keras.layers.Dense(2, name="tags")(elmo(words))
    return keras.Model(words, tags), [0, 1]


def refuse_string_in_mapping(elmo, words):
    tags = keras.layers.Dense(2, name="tags")(elmo(words))
    return keras.Model(words, tags), {"tags": "NV"}


def refuse_nested_outputs(elmo, words):
    vectors = elmo(words)
    return keras.Model(words, {"both": [vectors, vectors]}), None


@pytest.mark.parametrize(
    "make, text",
    [
        (refuse_subclassed, "expected a functional .* received Subclassed"),
        (refuse_fixed_batch, r"words to have a first axis .* received shape \(2, None"),
        (refuse_taken_name, "expected other names .* received lengths"),
        (refuse_same_names, "expected inputs and outputs of different names"),
        (refuse_string_labels, "expected labels to be a list, received 'NV'"),
        (refuse_too_few_labels, "expected one output with 2 classes"),
        (refuse_labels_of_no_output, "expected labels of .*, received some of 'tags'"),
        (refuse_wrong_count, "expected a label for each class .* received 1"),
        (refuse_label_name, "expected no output named 'labels'"),
        (refuse_number_labels, "expected labels to be str, received 0"),
        (refuse_string_in_mapping, "expected labels to be a list, received 'NV'"),
        (refuse_nested_outputs, "expected one tensor named 'both', received a list"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_does_not_fit_is_refused(elmo, make, text):
    model, labels = make(elmo, words_input())
    with pytest.raises(ValueError, match=text):
        model_signatures(model, labels=labels)


def test_an_output_with_another_time_axis_is_named(elmo):
    words = words_input()
    every_second = {"halved": elmo(words)[:, ::2]}
    signatures = model_signatures(keras.Model(words, every_second))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="output halved: expected one entry a word"
    ):
        signatures["default"](tf.constant(["a b c d"]))
