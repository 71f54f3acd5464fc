"""The whole path in one go: preset, vectors in context, export, server, answer."""

import csv
import dataclasses
import os
import tempfile
import time
from importlib import resources

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.saved_model.writer import export_saved_model
from keras_elmo.serving.client import ElmoClient
from keras_elmo.serving.server import ModelServer
from keras_elmo.text.characters import pad_sentences

PRESET = "elmo_tiny_en"


@dataclasses.dataclass
class Use:
    """One word in one sentence.

    Attributes:
        word, sense: What is used, and in which sense.
        position: The word's place among `words`, from 0.
        words: The sentence.
    """

    word: str
    sense: str
    position: int
    words: list[str]


def read_uses() -> list[Use]:
    """The demo's thirty sentences: three words, two senses each, five uses of each.

    They were written for this project and are in the public domain (CC0). Those of
    "read" were chosen so that each sentence marks the tense in another way too.

    >>> read_uses()[0].sense
    'gift'
    """
    text = resources.files("keras_elmo").joinpath("demo_uses.tsv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return [
        Use(row["word"], row["sense"], int(row["position"]), row["sentence"].split())
        for row in rows
    ]


def nearest(vectors: np.ndarray) -> np.ndarray | None:
    """Each vector's nearest other one by the cosine.

    Args:
        vectors: `(count, dim)`.

    Returns:
        int `(count,)`; None where all vectors are the same, and none is nearest.

    >>> nearest(np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]]))
    array([2, 2, 0])
    """
    if np.allclose(vectors, vectors[:1], atol=1e-5):
        return None
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    return cosines.argmax(axis=1)


def run_demo(console: Console):
    """Run all of it, and tell about it.

    Args:
        console: Where to.

    Raises:
        RuntimeError: The server's answer is not the layer's.
    """
    started = time.perf_counter()
    uses = read_uses()
    elmo = ElmoLayer.from_preset(PRESET)
    _show_model(console, elmo)
    sentences = [use.words for use in uses]
    layers = np.asarray(elmo.all_layers(*pad_sentences(sentences)))
    console.rule("[bold]2. The same word in other company", align="left")
    console.print(
        "Which use is nearest to which, by the cosine of the word's vectors. The model "
        "was never told of senses.\n"
    )
    for word in dict.fromkeys(use.word for use in uses):
        rows = [i for i, use in enumerate(uses) if use.word == word]
        vectors = [layers[i, :, uses[i].position] for i in rows]
        _show_word(console, word, [uses[i] for i in rows], np.stack(vectors))
    _serve(console, elmo, [" ".join(words) for words in sentences])
    seconds = time.perf_counter() - started
    console.print(f"\nThe whole path took {seconds:.0f} seconds.", style="dim")


def _show_model(console, elmo):
    count = sum(int(np.prod(weight.shape)) for weight in elmo.weights)
    bilm = elmo.bilm
    console.rule(f"[bold]1. {PRESET}: the model in the package", align="left")
    console.print(
        f"{count / 1e6:.1f} million parameters: characters to vectors of "
        f"{bilm.direction_dim}, then {bilm.num_layers} LSTM layers of {bilm.units} "
        f"cells in each direction. Each word gets {bilm.num_layers + 1} vectors of "
        f"{2 * bilm.direction_dim} numbers.\n"
    )


def _show_word(console, word, uses, vectors):
    senses = list(dict.fromkeys(use.sense for use in uses))
    console.print(f'[bold]"{word}"[/bold]: {" or ".join(senses)}')
    by_layer = [nearest(vectors[:, layer]) for layer in range(vectors.shape[1])]
    told = [layer for layer, found in enumerate(by_layer) if found is not None]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("sense")
    table.add_column("use", ratio=1)
    for layer in told:
        table.add_column(f"layer {layer}:\nnearest", justify="right")
    for i, use in enumerate(uses):
        cells = [str(i + 1), use.sense, _marked(use)]
        for layer in told:
            j = by_layer[layer][i]
            good = uses[j].sense == use.sense
            mark = Text(f"{j + 1} {uses[j].sense} {'✓' if good else '✗'}")
            mark.stylize("green" if good else "red")
            cells.append(mark)
        table.add_row(*cells)
    console.print(table)
    for layer, found in enumerate(by_layer):
        if found is None:
            console.print(
                f"layer {layer}: the same vector in all {len(uses)} uses, so it cannot "
                "tell them apart"
            )
        else:
            good = sum(
                uses[j].sense == use.sense for use, j in zip(uses, found, strict=True)
            )
            console.print(
                f"layer {layer}: the nearest other use has the same sense for "
                f"[bold]{good} of {len(uses)}[/bold]"
            )
    console.print()


def _marked(use):
    text = Text()
    for i, word in enumerate(use.words):
        text.append(word, style="bold cyan" if i == use.position else "")
        text.append(" ")
    text.rstrip()
    return text


def _serve(console, elmo, sentences):
    console.rule("[bold]3. Export, serve, ask", align="left")
    with tempfile.TemporaryDirectory(prefix="keras_elmo-") as folder:
        base = os.path.join(folder, PRESET)
        version = export_saved_model(elmo, base)
        size = sum(
            os.path.getsize(os.path.join(path, name))
            for path, _, names in os.walk(version)
            for name in names
        )
        console.print(
            f"SavedModel: {PRESET}/{os.path.basename(version)}, {size / 1e6:.1f} MB"
        )
        with (
            ModelServer(base, port=0) as server,
            ElmoClient(server.address, server.model_name) as client,
        ):
            console.print(f"server:     {server.address}, gRPC, PredictionService")
            console.print(f"signatures: {', '.join(client.metadata())}")
            asked = time.perf_counter()
            answers = client.embed(sentences)
            milliseconds = 1000 * (time.perf_counter() - asked)
    words = sum(len(answer) for answer in answers)
    console.print(
        f"asked with: {len(sentences)} strings, answered with {words} vectors in "
        f"{milliseconds:.0f} ms"
    )
    expected = np.asarray(elmo(*pad_sentences([s.split() for s in sentences])))
    largest = max(
        float(np.abs(answer - expected[i, : len(answer)]).max())
        for i, answer in enumerate(answers)
    )
    if not largest < 1e-5:
        raise RuntimeError(f"the server's vectors differ from Keras' by {largest}")
    console.print(f"agreement:  largest difference from Keras {largest:.1e}")
