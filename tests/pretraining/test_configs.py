"""Sizes by name or by file."""

import json

import pytest

from keras_elmo.ai2.options import bilm_arguments, encoder_arguments
from keras_elmo.errors import FormatError
from keras_elmo.layers.character_encoder import CharacterEncoder
from keras_elmo.pretraining.configs import CONFIGS, find_config
from tests.pretraining import small_models


@pytest.mark.parametrize(
    ("name", "units", "projection_dim", "num_highway"),
    [("small", 1024, 128, 1), ("medium", 2048, 256, 1), ("original", 4096, 512, 2)],
)
def test_named_sizes_are_ai2s(name, units, projection_dim, num_highway):
    # elmo.md, section 11; the filters are the encoder's default.
    bilm = bilm_arguments(find_config(name))
    encoder = encoder_arguments(find_config(name))
    assert (bilm["units"], bilm["projection_dim"]) == (units, projection_dim)
    assert bilm["num_layers"] == 2 and bilm["skip_connections"]
    assert bilm["cell_clip"] == bilm["proj_clip"] == 3
    assert encoder["num_highway"] == num_highway
    filters = [tuple(pair) for pair in encoder["filters"]]
    assert filters == CharacterEncoder().filters


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_named_sizes_are_copies(name):
    find_config(name)["lstm"]["dim"] = 1
    assert find_config(name)["lstm"]["dim"] > 1


def test_sizes_may_be_read_from_a_file():
    found = find_config(str(small_models.LM / "full_options.json"))
    assert found == small_models.options()


def test_a_file_without_characters_is_word_input(tmp_path):
    path = tmp_path / "words.json"
    options = {"lstm": small_models.options()["lstm"]}
    path.write_text(json.dumps(options))
    assert find_config(str(path)) == options


def test_refuses_unknown_names():
    with pytest.raises(
        FormatError, match="huge: expected one of tiny, small, .* neither"
    ):
        find_config("huge")
