"""What the package promises by name."""

import keras

import keras_elmo
import keras_elmo.layers
import keras_elmo.pretraining
import keras_elmo.serving
import keras_elmo.text


def test_all_lists_what_there_is():
    for module in (
        keras_elmo,
        keras_elmo.layers,
        keras_elmo.pretraining,
        keras_elmo.serving,
        keras_elmo.text,
    ):
        assert module.__all__ == sorted(module.__all__)
        for name in module.__all__:
            assert getattr(module, name) is not None
    assert set(keras_elmo.__all__) == {
        "BiLM",
        "CharCNN",
        "CharacterEncoder",
        "ElmoLayer",
        "FormatError",
        "Highway",
        "LanguageModel",
        "ProjectedLSTM",
        "ScalarMix",
        "__version__",
        "batch_to_ids",
        "embed_sentences",
        "export_saved_model",
        "load_ai2",
        "load_bilm_checkpoint",
        "load_language_model",
        "pad_sentences",
        "save_ai2",
        "save_token_embeddings",
    }


def test_layers_are_found_in_both_places():
    for name in ("BiLM", "CharCNN", "Highway", "ProjectedLSTM", "ScalarMix"):
        layer = getattr(keras_elmo, name)
        assert layer is getattr(keras_elmo.layers, name)
        assert issubclass(layer, keras.layers.Layer)
        assert keras.saving.get_registered_name(layer) == f"keras_elmo>{name}"


def test_a_name_that_is_none_is_an_attribute_error():
    for module in (keras_elmo, keras_elmo.pretraining, keras_elmo.text):
        assert not hasattr(module, "no_such_name")
