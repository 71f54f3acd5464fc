"""Is the nearest other use of a word one in the same sense? Counted for each layer.

    python tests/benchmarks/word_senses.py USES.tsv [MODEL]

USES.tsv has a header and the columns word, sense, position (from 0) and sentence.
Prints one JSON line a word and one for all of them: uses, and for each layer above 0
how many have a nearest use of the same sense.
"""

import csv
import json
import sys

import numpy as np

import keras_elmo
from keras_elmo.demo import nearest
from keras_elmo.resolver import load_elmo


def main():
    with open(sys.argv[1], encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    elmo = load_elmo(sys.argv[2] if len(sys.argv) > 2 else "elmo_tiny_en")
    sentences = [row["sentence"].split() for row in rows]
    layers = np.asarray(elmo.all_layers(*keras_elmo.pad_sentences(sentences)))
    total = np.zeros(layers.shape[1] - 1, int)
    for word in dict.fromkeys(row["word"] for row in rows):
        uses = [i for i, row in enumerate(rows) if row["word"] == word]
        senses = np.array([rows[i]["sense"] for i in uses])
        same = []
        for layer in range(1, layers.shape[1]):
            vectors = [layers[i, layer, int(rows[i]["position"])] for i in uses]
            same.append(int((senses[nearest(np.stack(vectors))] == senses).sum()))
        total += same
        print(json.dumps({"word": word, "uses": len(uses), "same_sense": same}))
    facts = {"word": None, "uses": len(rows), "same_sense": total.tolist()}
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
