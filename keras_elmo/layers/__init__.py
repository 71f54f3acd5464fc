"""The mathematics of ELMo as Keras layers: no files, no vocabulary, no TensorFlow."""

from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.char_cnn import CharCNN
from keras_elmo.layers.character_encoder import CharacterEncoder
from keras_elmo.layers.highway import Highway
from keras_elmo.layers.lstm_stack import LSTMStack
from keras_elmo.layers.projected_lstm import ProjectedLSTM
from keras_elmo.layers.scalar_mix import ScalarMix

__all__ = [
    "BiLM",
    "CharCNN",
    "CharacterEncoder",
    "Highway",
    "LSTMStack",
    "ProjectedLSTM",
    "ScalarMix",
]
