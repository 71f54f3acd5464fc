"""What a functional model takes and gives, by name."""

import keras
import tensorflow as tf

from keras_elmo.resolver import elmo_layers


class ModelTensors:
    """A functional model as a function of named tensors.

    Inputs and outputs go by their keys where the model has dicts of them, else by the
    names of its inputs and of the layers that give its outputs.

    Args:
        model: A functional or Sequential model.

    Attributes:
        inputs, outputs: Keras tensors by name, in the model's order.
        words: Name of the one string input `(batch, time)` of any time, or None.
        lengths: Name of the input that an ElmoLayer takes as its words' lengths, or
            None.

    Raises:
        ValueError: Another kind of model, a tensor without a batch axis of any size, or
            two of one name.

    >>> ModelTensors(tagger).words
    'words'
    """

    def __init__(self, model: keras.Model):
        self.model = model
        if isinstance(model, keras.Sequential):
            self._structure, outputs = model.inputs[0], model.outputs[0]
        elif getattr(model, "inputs", None):
            self._structure, outputs = model.input, model.output
        else:
            raise ValueError(
                "export_saved_model: expected a functional or Sequential model, whose "
                f"inputs are known, received {type(model).__name__}."
            )
        self.inputs = _by_name(self._structure, lambda tensor: tensor.name)
        self.outputs = _by_name(outputs, _producer)
        for name, tensor in [*self.inputs.items(), *self.outputs.items()]:
            if not tensor.shape or tensor.shape[0] is not None:
                raise ValueError(
                    f"export_saved_model: expected {name} to have a first axis of any "
                    "size, for a server's batches, received shape "
                    f"{tuple(tensor.shape)}."
                )
        words = [n for n, t in self.inputs.items() if _holds_words(t)]
        self.words = words[0] if len(words) == 1 else None
        self.lengths = None if self.words is None else self._find_lengths()

    def _find_lengths(self):
        for layer in elmo_layers(self.model):
            for node in layer._inbound_nodes:
                first, *rest = node.input_tensors
                if first is self.inputs[self.words]:
                    for name, tensor in self.inputs.items():
                        if any(tensor is other for other in rest):
                            return name
        return None

    def run(self, tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """All outputs by name, of all inputs by name, not training."""
        flat = [tensors[name] for name in self.inputs]
        results = self.model(
            keras.tree.pack_sequence_as(self._structure, flat), training=False
        )
        return dict(zip(self.outputs, keras.tree.flatten(results), strict=True))


def describe(tensors) -> str:
    """Names, dtypes and shapes in a line.

    >>> describe({"words": keras.Input((None,), dtype="string")})
    'words string (None, None)'
    """
    return ", ".join(f"{n} {t.dtype} {tuple(t.shape)}" for n, t in tensors.items())


def _by_name(structure, name_of):
    if isinstance(structure, dict):
        for name, tensor in structure.items():
            if not keras.backend.is_keras_tensor(tensor):
                raise ValueError(
                    f"export_saved_model: expected one tensor named {name!r}, received "
                    f"a {type(tensor).__name__}; inputs and outputs are a tensor, a "
                    "list or a dict of tensors."
                )
        return dict(sorted(structure.items()))  # the order of `keras.tree.flatten`
    named = [(name_of(tensor), tensor) for tensor in keras.tree.flatten(structure)]
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise ValueError(
            "export_saved_model: expected inputs and outputs of different names, "
            f"received {', '.join(names)}; a dict names them."
        )
    return dict(named)


def _producer(tensor):
    operation, _, index = tensor._keras_history
    return operation.name if index == 0 else f"{operation.name}_{index + 1}"


def _holds_words(tensor):
    return tensor.dtype == "string" and tuple(tensor.shape[1:]) == (None,)
