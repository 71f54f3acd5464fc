"""The equations of ELMo in float64 NumPy, row by row and step by step.

They share no code with the layers: of a layer only weights and sizes are read.
"""

import numpy as np

from tests.helpers import as_numpy


def array(variable):
    return as_numpy(variable).astype("float64")


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def highway(x, layer):
    for gate_kernel, gate_bias, kernel, bias in layer.blocks:
        g = sigmoid(x @ array(gate_kernel) + array(gate_bias))
        new = np.maximum(x @ array(kernel) + array(bias), 0.0)
        x = g * new + (1.0 - g) * x
    return x


def char_cnn(ids, layer):
    """`(batch, time, chars)` to `(batch, time, total)`, one window at a time."""
    table = np.concatenate([np.zeros((1, layer.embedding_dim)), array(layer.embedding)])
    activations = {"relu": lambda v: np.maximum(v, 0.0), "tanh": np.tanh}
    activation = activations[layer.activation]
    vectors = []
    for word in ids.reshape(-1, ids.shape[-1]):
        spelled = table[word]
        parts = []
        for (width, _), kernel, bias in zip(
            layer.filters, layer.kernels, layer.biases, strict=True
        ):
            seen = [
                np.einsum("wd,wdn->n", spelled[p : p + width], array(kernel))
                for p in range(len(word) - width + 1)
            ]
            parts.append(np.max(activation(np.array(seen) + array(bias)), axis=0))
        vectors.append(np.concatenate(parts))
    return np.reshape(vectors, (*ids.shape[:2], -1))


def encoder(ids, layer):
    x = char_cnn(ids, layer.char_cnn)
    if layer.num_highway:
        x = highway(x, layer.highway)
    if layer.projection is not None:
        x = x @ array(layer.projection.kernel) + array(layer.projection.bias)
    return x


def lstm(x, layer, mask=None, state=None, reset=None, backward=False):
    """Outputs `(batch, time, output_dim)` and the final `[h, c]`."""
    batch, time, _ = x.shape
    mask = np.ones((batch, time), bool) if mask is None else mask
    reset = np.zeros((batch, time), bool) if reset is None else reset
    outputs = np.zeros((batch, time, layer.output_dim))
    final_h = np.zeros((batch, layer.output_dim))
    final_c = np.zeros((batch, layer.units))
    kernel = np.concatenate([array(layer.kernel), array(layer.recurrent_kernel)])
    for row in range(batch):
        h, c = final_h[row], final_c[row]
        if state is not None:
            h, c = (np.asarray(s, "float64")[row] for s in state)
        for t in reversed(range(time)) if backward else range(time):
            if reset[row, t]:
                h, c = np.zeros_like(h), np.zeros_like(c)
            if mask[row, t]:
                z = np.concatenate([x[row, t], h]) @ kernel + array(layer.bias)
                i, j, f, o = np.split(z, 4)
                c = clip(sigmoid(f + 1) * c + sigmoid(i) * np.tanh(j), layer.cell_clip)
                h = sigmoid(o) * np.tanh(c)
                if layer.projection_dim is not None:
                    h = clip(h @ array(layer.projection_kernel), layer.proj_clip)
                outputs[row, t] = h
        final_h[row], final_c[row] = h, c
    return outputs, [final_h, final_c]


def clip(v, bound):
    return v if bound is None else np.minimum(np.maximum(v, -bound), bound)


def stack(x, layer, mask=None, state=None, reset=None, backward=False):
    """The outputs of all layers, lowest first, and their final states."""
    outputs, states = [], []
    for number, one in enumerate(layer.lstms):
        start = None if state is None else state[number]
        y, final = lstm(x, one, mask, start, reset, backward)
        if layer.skip_connections and number > 0:
            y = y + (x if mask is None else x * mask[:, :, None])
        x = y
        outputs.append(y)
        states.append(final)
    return outputs, states


def bilm(x, layer, mask=None, state=None):
    """`(batch, num_layers + 1, time, 2 * P)` and the final states."""
    left, right = state or (None, None)
    forward, forward_state = stack(x, layer.forward_stack, mask, left)
    backward, backward_state = stack(
        x, layer.backward_stack, mask, right, backward=True
    )
    tokens = x if mask is None else x * mask[:, :, None]
    layers = [np.concatenate([tokens, tokens], axis=-1)]
    for pair in zip(forward, backward, strict=True):
        layers.append(np.concatenate(pair, axis=-1))
    return np.stack(layers, axis=1), [forward_state, backward_state]


def scalar_mix(x, raw_weights, gamma, mask=None, do_layer_norm=False):
    share = np.exp(raw_weights) / np.exp(raw_weights).sum()
    if do_layer_norm:
        real = np.ones((x.shape[0], x.shape[2]), bool) if mask is None else mask
        normalised = []
        for number in range(x.shape[1]):
            tokens = x[:, number][real]
            normalised.append(
                (x[:, number] - tokens.mean()) / np.sqrt(tokens.var() + 1e-12)
            )
        x = np.stack(normalised, axis=1)
    return gamma * sum(s * x[:, number] for number, s in enumerate(share))
