"""A part-of-speech tagger on a frozen preset, beside the same with layer 0 only.

    python tests/benchmarks/pos_tagging.py TRAIN.conllu.gz DEV.conllu.gz [--epochs 4]

Layer 0 is the context-free token vector, so the difference is what context gives.
Prints one JSON line a model: accuracy on the dev words, and that of the same tagger
when its `ElmoLayer` computes with bfloat16 products.
"""

import argparse
import gzip
import json
import time

import keras
import numpy as np
import tensorflow as tf

import keras_elmo
from keras_elmo.in_dtype import in_dtype


def read(path):
    """Sentences and universal tags of a CoNLL-U file, plain words only."""
    words, tags, sentences = [], [], []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            columns = line.split("\t")
            if columns[0].isdecimal():
                words.append(columns[1])
                tags.append(columns[3])
            elif words and not line.strip():
                sentences.append((words, tags))
                words, tags = [], []
    return sentences


def batches(sentences, names, batch):
    words, lengths = keras_elmo.pad_sentences([words for words, _ in sentences])
    tags = np.zeros(words.shape, np.int32)
    for row, (_, tagged) in enumerate(sentences):
        tags[row, : len(tagged)] = [names.index(tag) for tag in tagged]
    weights = np.arange(words.shape[1]) < lengths[:, None]
    order = np.argsort(lengths, kind="stable")
    data = []
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        longest = lengths[rows].max()
        data.append([a[rows, :longest] for a in (words, tags, weights)])
    return data


def tagger(layer_weights, num_tags):
    words = keras.Input((None,), dtype="string")
    elmo = keras_elmo.ElmoLayer.from_preset("elmo_tiny_en")
    if layer_weights is not None:
        elmo.mixes[0].set_layer_weights(layer_weights)
        elmo.mixes[0].trainable = False
    tags = keras.layers.Dense(num_tags, activation="softmax")(elmo(words))
    return keras.Model(words, tags), elmo


def compile_model(model):
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        weighted_metrics=["acc"],
    )


def dataset(data, shuffle):
    signature = tuple(
        tf.TensorSpec((None, None), dtype) for dtype in ("string", "int32", "bool")
    )
    dataset = tf.data.Dataset.from_generator(
        lambda: iter([tuple(b) for b in data]), output_signature=signature
    )
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(data)))
    return dataset.shuffle(len(data), seed=0) if shuffle else dataset


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("train")
    parser.add_argument("dev")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    train, dev = read(args.train), read(args.dev)
    names = sorted({tag for _, tags in train for tag in tags})
    train_data, dev_data = (batches(s, names, args.batch) for s in (train, dev))
    for kind, layer_weights in [("all layers", None), ("layer 0 only", [1, 0, 0])]:
        keras.utils.set_random_seed(0)
        model, elmo = tagger(layer_weights, len(names))
        compile_model(model)
        started = time.perf_counter()
        model.fit(
            dataset(train_data, shuffle=True),
            epochs=args.epochs,
            shuffle=False,
            verbose=0,
        )
        scores = model.evaluate(dataset(dev_data, shuffle=False), verbose=0)
        copy = in_dtype(model, "mixed_bfloat16")
        compile_model(copy)
        lower = copy.evaluate(dataset(dev_data, shuffle=False), verbose=0)
        facts = {
            "model": kind,
            "accuracy": round(scores[1], 4),
            "accuracy_bfloat16": round(lower[1], 4),
            "layer_weights": [round(float(w), 3) for w in elmo.mixes[0].layer_weights],
            "dev_words": sum(len(words) for words, _ in dev),
            "epochs": args.epochs,
            "seconds": round(time.perf_counter() - started),
        }
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
