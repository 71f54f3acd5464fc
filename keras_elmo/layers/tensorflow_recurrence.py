"""Forms of a recurrence that only TensorFlow has, or that only pay there.

Without a gradient it is computed by columns: a state is `(units, batch)`, and a step
multiplies by the transposed kernel from the left. oneDNN, which multiplies on a CPU,
rearranges the factor on the right before each product, and so its smaller one. Of 20
steps of AI2's sizes, 32 to 128 rows, that saves a ninth to a fifth of the time, the
transposing included. Gradients have one product a kernel.
"""

import functools

import tensorflow as tf

# Rows and steps from which on it takes less time (2 cores, AVX-512): by columns, for
# fewer do not earn what it costs to transpose the kernels; and by rows, several.
FOR_COLUMNS, FOR_ROWS = (16, 8), (2, 0)


def columns_are_known_to_pay() -> bool:
    """Whether the machine is one of which that was measured, without a GPU.

    >>> columns_are_known_to_pay()
    True
    """
    return not tf.config.list_physical_devices("GPU")


def by_size(few, many, least, inputs, *others):
    """`many(inputs, *others)`, or `few` of them if there are few rows or steps.

    Args:
        few, many: Functions with results of the same form.
        least: Rows and steps that are many.
        inputs: `(batch, time, n)`.
    """
    few, many = (functools.partial(f, inputs, *others) for f in (few, many))
    enough = [
        None if size is None else size >= bound
        for size, bound in zip(inputs.shape, least, strict=False)
    ]
    if False in enough:
        return few()
    if None not in enough:
        return many()
    batch, steps, _ = tf.unstack(tf.shape(inputs))
    return tf.cond(tf.logical_and(batch >= least[0], steps >= least[1]), many, few)


def scan(step, products, gates, h, c, flags):
    """All steps of a recurrence; none, too.

    Args:
        step: `step(gates, h, c, *flags, *products)` gives the next `h` and `c`.
        products: Functions that multiply.
        gates: `(time, batch, size)`.
        h, c: First states, `(batch, size)`.
        flags: Bool tensors `(time, batch)`, or None.

    Returns:
        Each `h`, `(time, batch, size)`, and the last `h` and `c`.
    """
    steps = tf.shape(gates)[0]
    array = tf.TensorArray(gates.dtype, steps, element_shape=gates.shape[1:])
    read = array.unstack(gates).read
    size = gates.shape[:2]
    return _scan(step, products, read, steps, h, c, flags, size, rows_axis=0)


def scan_columns(step, inputs, kernel, bias, kernels, h, c, flags):
    """`scan` by columns, from the inputs on.

    Args:
        step: As of `scan`, with `h`, `c` and gates `(size, batch)`.
        inputs: `(batch, time, n)`.
        kernel, bias: `(n, gates)` and `(gates,)`: what is known of the gates before.
        kernels: Matrices that a step multiplies by.
        h, c, flags: As of `scan`.

    Returns:
        Each `h`, `(batch, time, size)`, and the last `h` and `c`, `(batch, size)`.
    """
    batch, steps, _ = tf.unstack(tf.shape(inputs))
    products = [functools.partial(tf.matmul, tf.transpose(k)) for k in kernels]
    # The bias as a row of the kernel: added afterwards it is a pass over all gates.
    kernel = tf.concat([kernel, bias[None]], axis=0)
    x = tf.reshape(tf.transpose(inputs, (2, 1, 0)), (inputs.shape[2], -1))
    x = tf.concat([x, tf.ones_like(x[:1])], axis=0)
    gates = tf.matmul(kernel, x, transpose_a=True)  # (gates, time * batch)

    def read(t):
        return tf.slice(gates, (0, t * batch), (gates.shape[0], batch))

    h, c = tf.transpose(h), tf.transpose(c)
    size = inputs.shape[1::-1]
    outputs, h, c = _scan(step, products, read, steps, h, c, flags, size, rows_axis=1)
    return tf.transpose(outputs, (2, 0, 1)), tf.transpose(h), tf.transpose(c)


def _scan(step, products, read, steps, h, c, flags, size, rows_axis):
    """`scan` of gates that are read; `size` is what is known of steps and rows."""

    def shapes(rows):
        return [
            tf.TensorShape([rows if i == rows_axis else n for i, n in enumerate(x)])
            for x in (h.shape, c.shape)
        ]

    # After no steps a TensorArray cannot be stacked: it knows a static shape alone.
    shape = tf.shape(h)
    outputs = tf.raw_ops.TensorListReserve(
        element_shape=shape, num_elements=steps, element_dtype=h.dtype
    )

    def body(t, h, c, outputs):
        flags_t = [None if f is None else f[t] for f in flags]
        h, c = step(read(t), h, c, *flags_t, *products)
        outputs = tf.raw_ops.TensorListSetItem(input_handle=outputs, index=t, item=h)
        return t + 1, h, c, outputs

    _, h, c, outputs = tf.while_loop(
        lambda t, *_: t < steps,
        body,
        (tf.constant(0), h, c, outputs),
        # How many rows there are may be known of some of the tensors alone.
        shape_invariants=(tf.TensorShape([]), *shapes(None), tf.TensorShape([])),
    )
    outputs = tf.raw_ops.TensorListStack(
        input_handle=outputs, element_shape=shape, element_dtype=h.dtype
    )
    # Of no steps ONNX, to which this is converted, knows no shape.
    outputs = tf.reshape(outputs, tf.concat([[steps], shape], axis=0))
    h_shape, c_shape = shapes(size[1])
    outputs = tf.ensure_shape(outputs, [size[0], *h_shape])
    return outputs, tf.ensure_shape(h, h_shape), tf.ensure_shape(c, c_shape)


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
