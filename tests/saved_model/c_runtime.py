"""Loads and runs a SavedModel through TensorFlow's C library alone, by ctypes.

    python c_runtime.py job.json

It stands for a server that is linked against that library: Python's TensorFlow is not
imported. `job.json` is an object of

    libraries   the folder of libtensorflow_framework.so.2 and libtensorflow_cc.so.2
    protos      the folder of an installed `tensorflow`, for its protobuf classes
    kernels     list of further kernel libraries, opened before the model
    export      the SavedModel, loaded by the tag `serve`
    feeds       .npz of inputs, see `pack`, by `signature/input`; every signature is run
    results     where to write the .npz of outputs, by `signature/output`

What happened is one JSON object on stdout: `version`, and `error` with `code` and
`message` where the library refused something, else `signatures`, those that ran. With
`"list": "ops"` in place of `export` it is `ops`: the operations that have a CPU kernel
there, with their attributes.
"""

import ctypes
import json
import os
import sys
import types

import numpy as np

STRING = 7
DTYPES = {1: "float32", 2: "float64", 3: "int32", 9: "int64", 10: "bool"}
STRING_BYTES = 24  # of a TF_TString
LIBRARIES = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")


def pack(arrays):
    """Arrays for an `.npz` without pickle: bytes become their lengths and one run.

    NumPy's own type for bytes would drop the zero bytes at a string's end.
    """
    packed = {}
    for name, array in arrays.items():
        if array.dtype == object:
            lengths = [len(item) for item in array.flat]
            packed[f"{name}#lengths"] = np.reshape(
                np.array(lengths, "int64"), array.shape
            )
            array = np.frombuffer(b"".join(array.flat), "uint8")
        packed[name] = array
    return packed


def unpack(packed):
    """The arrays that `pack` was given."""
    arrays = {}
    for name in packed:
        if name.endswith("#lengths"):
            continue
        arrays[name] = packed[name]
        if f"{name}#lengths" in packed:
            lengths = packed[f"{name}#lengths"]
            ends = np.cumsum(lengths)
            run = packed[name].tobytes()
            strings = np.empty(lengths.size, object)
            strings[:] = [
                run[end - length : end]
                for end, length in zip(ends, lengths.flat, strict=True)
            ]
            arrays[name] = strings.reshape(lengths.shape)
    return arrays


class Refused(Exception):
    """What a TF_Status said."""


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    ]


class Library:
    """The functions of the C library that a session needs."""

    RETURN_POINTERS = (
        "TF_NewStatus TF_NewGraph TF_NewSessionOptions TF_NewBuffer TF_AllocateTensor "
        "TF_TensorData TF_GraphOperationByName TF_LoadSessionFromSavedModel "
        "TF_StringGetDataPointer TF_LoadLibrary TF_GetAllOpList "
        "TF_GetRegisteredKernelsForOp"
    ).split()

    def __init__(self, folder):
        self._libraries = [
            ctypes.CDLL(os.path.join(folder, name), mode=ctypes.RTLD_GLOBAL)
            for name in LIBRARIES
        ]
        for name in self.RETURN_POINTERS:
            self[name].restype = ctypes.c_void_p
        for name in ("TF_Message", "TF_Version"):
            self[name].restype = ctypes.c_char_p
        for name in ("TF_StringGetSize", "TF_TensorByteSize"):
            self[name].restype = ctypes.c_size_t
        self["TF_Dim"].restype = ctypes.c_int64
        self._status = ctypes.c_void_p(self["TF_NewStatus"]())

    def __getitem__(self, name):
        for library in self._libraries:
            if hasattr(library, name):
                return getattr(library, name)
        raise KeyError(name)

    def call(self, name, *arguments):
        """Call a function whose last argument is a status."""
        result = self[name](*arguments, self._status)
        code = self["TF_GetCode"](self._status)
        if code:
            raise Refused(code, self["TF_Message"](self._status).decode())
        return result

    def message(self, address, message):
        """Parse what a TF_Buffer at an address holds."""
        buffer = Buffer.from_address(address)
        return message.FromString(ctypes.string_at(buffer.data, buffer.length))

    def tensor(self, array):
        """A TF_Tensor with a copy of an array."""
        array = np.ascontiguousarray(array)
        strings = array.dtype == object
        code = (
            STRING if strings else {v: k for k, v in DTYPES.items()}[str(array.dtype)]
        )
        size = array.size * STRING_BYTES if strings else array.nbytes
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = ctypes.c_void_p(
            self["TF_AllocateTensor"](code, dims, array.ndim, ctypes.c_size_t(size))
        )
        data = self["TF_TensorData"](tensor)
        if not strings:
            ctypes.memmove(data, array.ctypes.data, size)
            return tensor
        for i, item in enumerate(array.flat):
            place = ctypes.c_void_p(data + i * STRING_BYTES)
            self["TF_StringInit"](place)
            self["TF_StringCopy"](place, item, ctypes.c_size_t(len(item)))
        return tensor

    def array(self, tensor):
        """A copy of a TF_Tensor."""
        rank = self["TF_NumDims"](tensor)
        shape = [self["TF_Dim"](tensor, axis) for axis in range(rank)]
        code = self["TF_TensorType"](tensor)
        data = self["TF_TensorData"](tensor)
        if code != STRING:
            content = ctypes.string_at(data, self["TF_TensorByteSize"](tensor))
            return np.frombuffer(content, DTYPES[code]).reshape(shape)
        strings = np.empty(int(np.prod(shape)), object)
        for i in range(strings.size):
            place = ctypes.c_void_p(data + i * STRING_BYTES)
            text = self["TF_StringGetDataPointer"](place)
            strings[i] = ctypes.string_at(text, self["TF_StringGetSize"](place))
        return strings.reshape(shape)


class Model:
    """A loaded SavedModel.

    Attributes:
        signatures: Its SignatureDefs, by name; a server's, not TensorFlow's own.
    """

    def __init__(self, library, export, meta_graph_class):
        self._library = library
        self._graph = ctypes.c_void_p(library["TF_NewGraph"]())
        meta_graph = ctypes.c_void_p(library["TF_NewBuffer"]())
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = ctypes.c_void_p(
            library.call(
                "TF_LoadSessionFromSavedModel",
                ctypes.c_void_p(library["TF_NewSessionOptions"]()),
                None,
                export.encode(),
                tags,
                1,
                self._graph,
                meta_graph,
            )
        )
        definitions = library.message(meta_graph.value, meta_graph_class).signature_def
        self.signatures = {
            name: definition
            for name, definition in definitions.items()
            if not name.startswith("__")
        }

    def run(self, signature, inputs):
        """Outputs of a signature by name, of arrays by name."""
        ends = signature.inputs, signature.outputs
        if set(inputs) != set(ends[0]):
            raise ValueError(f"expected inputs {set(ends[0])}, found {set(inputs)}")
        places, names = zip(*(self._places(e) for e in ends), strict=True)
        values = (ctypes.c_void_p * len(inputs))(
            *(self._library.tensor(inputs[name]).value for name in names[0])
        )
        results = (ctypes.c_void_p * len(names[1]))()
        try:
            self._library.call(
                "TF_SessionRun",
                *(self._session, None),
                *(places[0], values, len(names[0])),
                *(places[1], results, len(names[1])),
                *(None, 0, None),
            )
            return {
                name: self._library.array(ctypes.c_void_p(result))
                for name, result in zip(names[1], results, strict=True)
            }
        finally:
            for tensor in (*values, *results):
                self._library["TF_DeleteTensor"](ctypes.c_void_p(tensor))

    def _places(self, infos):
        places = (Output * len(infos))()
        for place, info in zip(places, infos.values(), strict=True):
            name, index = info.name.rsplit(":", 1)
            place.operation = self._library["TF_GraphOperationByName"](
                self._graph, name.encode()
            )
            if not place.operation:
                raise ValueError(f"the graph has no operation {name}")
            place.index = int(index)
        return places, list(infos)


def protobuf_classes(package):
    """MetaGraphDef, OpList and KernelList, without TensorFlow's `__init__`."""
    bare = types.ModuleType("tensorflow")
    bare.__path__ = [package]
    sys.modules["tensorflow"] = bare
    from tensorflow.core.framework.kernel_def_pb2 import KernelList
    from tensorflow.core.framework.op_def_pb2 import OpList
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

    return MetaGraphDef, OpList, KernelList


def list_ops(library, op_list_class, kernel_list_class):
    """Attributes of each operation that has a CPU kernel."""
    ops = library.message(library["TF_GetAllOpList"](), op_list_class).op
    found = {}
    for op in ops:
        kernels = library.message(
            library.call("TF_GetRegisteredKernelsForOp", op.name.encode()),
            kernel_list_class,
        )
        if any(kernel.device_type in ("CPU", "DEFAULT") for kernel in kernels.kernel):
            found[op.name] = sorted(attribute.name for attribute in op.attr)
    return found


def run_signatures(library, job, meta_graph_class):
    """Run every signature; the names of those that ran."""
    for path in job["kernels"]:
        library.call("TF_LoadLibrary", path.encode())
    model = Model(library, job["export"], meta_graph_class)
    with np.load(job["feeds"]) as stored:
        feeds = unpack({name: stored[name] for name in stored.files})
    results = {}
    for name, signature in model.signatures.items():
        inputs = {
            key.removeprefix(f"{name}/"): value
            for key, value in feeds.items()
            if key.startswith(f"{name}/")
        }
        for output, value in model.run(signature, inputs).items():
            results[f"{name}/{output}"] = value
    np.savez(job["results"], **pack(results))
    return sorted(model.signatures)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    meta_graph_class, op_list_class, kernel_list_class = protobuf_classes(job["protos"])
    library = Library(job["libraries"])
    report = {"version": library["TF_Version"]().decode()}
    try:
        if job.get("list") == "ops":
            report["ops"] = list_ops(library, op_list_class, kernel_list_class)
        else:
            report["signatures"] = run_signatures(library, job, meta_graph_class)
    except Refused as error:
        report["error"] = dict(zip(("code", "message"), error.args, strict=True))
    report["python"] = [n for n in sys.modules if n.startswith("tensorflow.python")]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
