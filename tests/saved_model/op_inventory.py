"""What a SavedModel asks of the binary that loads it: operations, attributes, devices.

    python -m tests.saved_model.op_inventory LIBRARIES

writes `ops_2_20.txt`: the operations with a CPU kernel in TensorFlow's C library of
2.20, which today's stock server is built from, a line each, with their attributes.
`LIBRARIES` is the folder of that library's two files. Left out are the families that no
export of ours can need.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
OPS_FILE = HERE / "ops_2_20.txt"
_LEFT_OUT = re.compile(r"_|.*(Dataset|Iterator|TPU|Xla|Cudnn|Quantize|Summary|Boosted)")
# Of tensorflow-text's, which stock servers link, those that `tokenize` makes.
TEXT_OPS = {
    "UnicodeScriptTokenizeWithOffsets": {"Tsplits", "keep_whitespace"},
    "RegexSplitWithOffsets": set(),
}
# These say why, before the list does; some of them have CPU kernels.
DENIED = {
    r"Cudnn": "needs a GPU",
    r"Xla": "needs XLA, which a stock server has off",
    r"(Eager)?PyFunc": "needs Python",
    r"T[Pp][Uu]": "needs a TPU",
}
MUST_COMPILE = "_XlaMustCompile"


def library_ops(libraries):
    """The operations that a C library has CPU kernels of: sorted attributes by name."""
    import tensorflow as tf

    job = {
        "libraries": str(libraries),
        "protos": str(pathlib.Path(tf.__file__).parent),
        "list": "ops",
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        done = subprocess.run(
            [sys.executable, HERE / "c_runtime.py", file.name],
            stdout=subprocess.PIPE,
            check=True,
        )
    return json.loads(done.stdout)["ops"]


def ops_text(ops):
    """The content of `ops_2_20.txt`."""
    return "".join(
        " ".join([name, *ops[name]]) + "\n"
        for name in sorted(ops)
        if not _LEFT_OUT.match(name)
    )


def ops_of_2_20():
    """Sets of attributes by operation, as of `ops_2_20.txt`."""
    lines = OPS_FILE.read_text("utf-8").splitlines()
    return {name: set(rest) for name, *rest in map(str.split, lines)}


def problems(meta_graph, text=False, variables=None):
    """What a stock server might stumble over in an export.

    Args:
        meta_graph: MetaGraphDef.
        text: bool. Allow what tokenises raw text.
        variables: int. Of the model; None: do not count them.

    Returns:
        List of str, empty where all is well.
    """
    allowed = ops_of_2_20() | (TEXT_OPS if text else {})
    found = list(_ops(meta_graph.graph_def, allowed))
    found += _compiled(meta_graph.graph_def)
    for name, signature in meta_graph.signature_def.items():
        if not name.startswith("__"):
            found += _ends(name, signature)
            found += _devices(name, signature, meta_graph.graph_def)
    if variables is not None:
        found += _variables(meta_graph.graph_def, variables)
    return sorted(set(found))


def _all_nodes(graph):
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _ops(graph, allowed):
    own = {function.signature.name for function in graph.library.function}
    for node in _all_nodes(graph):
        reasons = [why for name, why in DENIED.items() if re.match(name, node.op)]
        if reasons:
            yield f"{node.op}: {reasons[0]}"
        elif node.op not in allowed and node.op not in own:
            yield f"{node.op}: no CPU kernel in 2.20"
        elif node.op in allowed:
            for attribute in set(node.attr) - allowed[node.op]:
                if not attribute.startswith("_"):
                    yield f"{node.op}: attribute {attribute} is unknown to 2.20"


def _compiled(graph):
    for function in graph.library.function:
        if function.attr[MUST_COMPILE].b:
            yield f"function {function.signature.name}: must be compiled by XLA"
    for node in _all_nodes(graph):
        if node.attr[MUST_COMPILE].b:
            yield f"node {node.name}: must be compiled by XLA"


def _ends(name, signature):
    """No scalars: merging and splitting requests is along the first axis of all."""
    for side in ("inputs", "outputs"):
        for end, info in getattr(signature, side).items():
            dims = [dim.size for dim in info.tensor_shape.dim]
            if info.tensor_shape.unknown_rank or not dims or dims[0] != -1:
                yield f"{name}: {side} {end}: expected the batch as first axis"


def _devices(name, signature, graph):
    for node in _run_by(signature, graph):
        if node.device:
            yield f"{name}: {node.op} is bound to {node.device}"


def _run_by(signature, graph):
    """Nodes that answering a signature runs; not those that save and restore."""
    nodes = {node.name: node for node in graph.node}
    functions = {f.signature.name: f for f in graph.library.function}
    waiting = [info.name.split(":")[0] for info in signature.outputs.values()]
    reached, called = set(), set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            yield nodes[name]
            waiting += [end.lstrip("^").split(":")[0] for end in nodes[name].input]
            yield from _called_by(nodes[name], functions, called)


def _called_by(node, functions, called):
    for value in node.attr.values():
        for name in (value.func.name, *(func.name for func in value.list.func)):
            if name in functions and name not in called:
                called.add(name)
                for inner in functions[name].node_def:
                    yield inner
                    yield from _called_by(inner, functions, called)


def _variables(graph, expected):
    handles = [node for node in _all_nodes(graph) if node.op == "VarHandleOp"]
    names = {node.attr["shared_name"].s for node in handles}
    if not len(handles) == len(names) == expected:
        yield (
            f"{len(handles)} VarHandleOps of {len(names)} names: expected one for "
            f"each of {expected} variables"
        )


if __name__ == "__main__":
    OPS_FILE.write_text(ops_text(library_ops(sys.argv[1])), "utf-8")
