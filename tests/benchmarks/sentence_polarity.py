"""A sentence classifier on a frozen preset, beside the same with layer 0 only.

    python tests/benchmarks/sentence_polarity.py TRAIN.tsv.gz DEV.tsv.gz [--epochs 6]

The files have a label, 0 or 1, and words, parted by a tab. Prints one JSON line a
model: accuracy on the dev sentences.
"""

import argparse
import gzip
import json
import time

import keras
import tensorflow as tf

import keras_elmo


def read(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    return [(int(label), text.split()) for label, text in rows]


def dataset(rows, batch, shuffle):
    rows = sorted(rows, key=lambda row: len(row[1]))
    words, lengths = keras_elmo.pad_sentences([words for _, words in rows])
    labels = [label for label, _ in rows]
    data = tf.data.Dataset.from_tensor_slices((words, lengths, labels))
    data = data.map(lambda words, length, label: (words[:length], label))
    data = data.padded_batch(batch)
    return data.shuffle(len(rows), seed=0) if shuffle else data


def classifier(layer_weights):
    words = keras.Input((None,), dtype="string")
    elmo = keras_elmo.ElmoLayer.from_preset("elmo_tiny_en", dropout=0.2, seed=0)
    if layer_weights is not None:
        elmo.mixes[0].set_layer_weights(layer_weights)
        elmo.mixes[0].trainable = False
    sentence = keras.layers.GlobalAveragePooling1D()(elmo(words))
    score = keras.layers.Dense(1, activation="sigmoid")(sentence)
    model = keras.Model(words, score)
    model.compile(keras.optimizers.Adam(0.03), "binary_crossentropy", metrics=["acc"])
    return model, elmo


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("train")
    parser.add_argument("dev")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    train, dev = read(args.train), read(args.dev)
    for kind, layer_weights in [("all layers", None), ("layer 0 only", [1, 0, 0])]:
        keras.utils.set_random_seed(0)
        model, elmo = classifier(layer_weights)
        started = time.perf_counter()
        data = dataset(train, args.batch, shuffle=True)
        model.fit(data, epochs=args.epochs, shuffle=False, verbose=0)
        scores = model.evaluate(dataset(dev, args.batch, shuffle=False), verbose=0)
        facts = {
            "model": kind,
            "accuracy": round(scores[1], 4),
            "layer_weights": [round(float(w), 3) for w in elmo.mixes[0].layer_weights],
            "dev_sentences": len(dev),
            "epochs": args.epochs,
            "seconds": round(time.perf_counter() - started),
        }
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
