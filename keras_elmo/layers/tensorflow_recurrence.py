"""Recurrences on TensorFlow whose weights have a gradient of one product."""

import tensorflow as tf


class _Product:
    """`x @ kernel`, where all `x` and all results are kept."""

    def __init__(self, kernel):
        self._kernel = kernel
        self._inputs = []
        self.results = []

    def __call__(self, x):
        self._inputs.append(x)
        self.results.append(tf.matmul(x, self._kernel))
        return self.results[-1]

    def gradient(self, upstream):
        """That of the kernel, from those of the results."""
        x, dy = tf.concat(self._inputs, axis=0), tf.concat(upstream, axis=0)
        return tf.matmul(x, dy, transpose_a=True)


def with_one_gradient(run, kernels, *inputs):
    """`run(products, *inputs)`, a recurrence that multiplies by `kernels` at each step.

    TensorFlow makes of each step's product a gradient as large as the kernel, and adds
    them up. Here all steps together make one product: the same sum.

    Args:
        run: Gives a flat list of tensors. Of each kernel it gets a function that
            multiplies `(batch, n)` by it, and uses it at least once.
        kernels: Tensors `(n, m)`.
        *inputs: What else gradients are asked for.
    """

    @tf.custom_gradient
    def recurrence(*tensors):
        products = [_Product(kernel) for kernel in tensors[: len(kernels)]]
        given = list(tensors[len(kernels) :])
        with tf.GradientTape() as tape:
            tape.watch(given)
            outputs = run(products, *given)

        def gradient(*upstream):
            of_results, of_given = tape.gradient(
                outputs,
                [[product.results for product in products], given],
                output_gradients=upstream,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            of_kernels = [
                product.gradient(found)
                for product, found in zip(products, of_results, strict=True)
            ]
            return [*of_kernels, *of_given]

        return outputs, gradient

    return recurrence(*kernels, *inputs)
