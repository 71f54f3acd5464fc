"""Changes to a converted ONNX graph that the converter does not make itself.

`graph` is an `onnx.GraphProto`; a loop's body is another within it. The package is
imported on first use, for it is of an extra.
"""


def fix_weights(graph, weights):
    """Make initializers of inputs.

    Args:
        graph: The graph.
        weights: Arrays by the name of the input.
    """
    from onnx import numpy_helper

    for end in [end for end in graph.input if end.name in weights]:
        graph.input.remove(end)
        graph.initializer.append(numpy_helper.from_array(weights[end.name], end.name))


def name_axes(graph):
    """Name the free axes of inputs and outputs `batch` and `time`."""
    for end in (*graph.input, *graph.output):
        axes = end.type.tensor_type.shape.dim
        for axis, name in zip(axes, ("batch", "time"), strict=False):
            if not axis.HasField("dim_value"):
                axis.dim_param = name


def let_rows_be_none(graph):
    """Take a zero in a computed shape for one; by itself ONNX copies an axis there."""
    from onnx import helper

    for node in graph.node:
        if node.op_type == "Reshape":
            node.attribute.append(helper.make_attribute("allowzero", 1))
    for inner in _inner_graphs(graph):
        let_rows_be_none(inner)


def take_invariants_out_of_loops(graph):
    """Let loops read what they do not change from outside.

    What a loop hands on from step to step is copied at each step, weights too.
    """
    for node in graph.node:
        if node.op_type == "Loop":
            _take_invariants_out(node, graph)
    for inner in _inner_graphs(graph):
        take_invariants_out_of_loops(inner)


def _take_invariants_out(loop, graph):
    (body,) = _inner_graphs_of(loop)
    sources = {n.output[0]: n.input[0] for n in body.node if n.op_type == "Identity"}
    # Of what a loop carries, the body has two inputs before and one output.
    for i in reversed(range(len(loop.input) - 2)):
        name = body.output[1 + i].name
        while name in sources:
            name = sources[name]
        if name != body.input[2 + i].name:
            continue
        outside = loop.input[2 + i]
        _rename(body, name, outside)
        _rename(graph, loop.output[i], outside)
        del body.input[2 + i], body.output[1 + i]
        del loop.input[2 + i], loop.output[i]


def _rename(graph, old: str, new: str):
    """Have all nodes read another value."""
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new
    for inner in _inner_graphs(graph):
        _rename(inner, old, new)


def _inner_graphs(graph):
    for node in graph.node:
        yield from _inner_graphs_of(node)


def _inner_graphs_of(node):
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
