"""Training and evaluation steps on PyTorch."""

import functools

import keras
import numpy as np
import torch

from keras_elmo.pretraining.language_model import LanguageModel
from keras_elmo.pretraining.update_step import UpdateStep, one_device

Adagrad = keras.optimizers.Adagrad
Adam = keras.optimizers.Adam
take_rows = functools.partial(keras.ops.take, axis=0)
strategy_scope = functools.partial(one_device, backend="PyTorch")


def compiled_forward(model: LanguageModel, carry_over_sentences: bool):
    """The losses of a window, computed as they are; see that of `tensorflow_step`."""

    def forward(window, states):
        with torch.no_grad():
            losses, states = model(
                _tensors(window), states, carry_over_sentences=carry_over_sentences
            )
        return losses.cpu().numpy(), states

    return forward


class TrainingStep(UpdateStep):
    """See `UpdateStep`."""

    def gradients(self, windows, states, seeds):
        losses, total, new_states = [], None, []
        for window, state, seed in zip(windows, states, seeds, strict=True):
            self.model.seed_dropout(*seed)
            loss, gradient, state = self._loss_and_gradients(_tensors(window), state)
            losses.append(loss)
            if total is None:
                total = gradient
            else:
                total = [a + b for a, b in zip(total, gradient, strict=True)]
            new_states.append(state)
        mean = [gradient / len(windows) for gradient in total]
        return np.array(losses), [mean], new_states

    def update(self, gradients):
        with torch.no_grad():
            clipped, norm = self.clipped(gradients[0])
            self.optimizer.apply(clipped, self.model.trainable_variables)
        return float(norm)

    def clipped(self, gradients):
        norm = torch.nn.utils.get_total_norm(gradients)
        scale = self.clip_norm / torch.clamp(norm, min=self.clip_norm)
        return [gradient * scale for gradient in gradients], norm

    def _loss_and_gradients(self, window, states):
        losses, states = self.model(
            window,
            states,
            carry_over_sentences=self.carry_over_sentences,
            training=True,
        )
        unroll = losses.shape[-1]
        losses = losses.mean(dim=(1, 2))
        # bilm's gradients are of the sum over a window, which the bound of their norm,
        # and Adagrad, depend on.
        variables = [v.value for v in self.model.trainable_variables]
        gradients = torch.autograd.grad(losses.mean() * unroll, variables)
        # Or the next window's gradients would reach back into this one.
        states = keras.tree.map_structure(torch.Tensor.detach, states)
        return losses.detach().cpu().numpy(), list(gradients), states


def _tensors(window):
    return keras.tree.map_structure(keras.ops.convert_to_tensor, window)
