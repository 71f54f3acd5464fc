"""Embed sentences with AI2's own bilm 0.1.post5: run_bilm.py FOLDER.

Runs under bilm's interpreter (CPython 3.7, TensorFlow 1.15), never under ours. FOLDER
holds options.json, lm_weights.hdf5, vocab.txt and sentences.json; bilm.npz is written
there: `layers` (batch, L + 1, time, 2P) from zero states, `lengths` (batch,).
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
from bilm import Batcher, BidirectionalLanguageModel

folder = sys.argv[1]
with open(os.path.join(folder, "sentences.json"), encoding="utf-8") as file:
    sentences = json.load(file)
options_file = os.path.join(folder, "options.json")
with open(options_file, encoding="utf-8") as file:
    chars = json.load(file)["char_cnn"]["max_characters_per_token"]
ids = tf.compat.v1.placeholder("int32", (None, None, chars))
ops = BidirectionalLanguageModel(
    options_file, os.path.join(folder, "lm_weights.hdf5"), max_batch_size=32
)(ids)
batch = Batcher(os.path.join(folder, "vocab.txt"), chars).batch_sentences(sentences)
with tf.compat.v1.Session() as session:
    session.run(tf.compat.v1.global_variables_initializer())
    layers, lengths = session.run(
        [ops["lm_embeddings"], ops["lengths"]], feed_dict={ids: batch}
    )
np.savez(os.path.join(folder, "bilm.npz"), layers=layers, lengths=lengths)
