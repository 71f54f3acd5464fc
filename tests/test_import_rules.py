"""Who may import whom: the rows of the package, read from its source."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "keras_elmo"

# From the top to the bottom. A part imports parts of the rows below its own, and of its
# own row only itself.
ROWS = [
    ["__main__"],
    ["cli"],
    ["demo"],
    ["serving"],
    ["saved_model", "pretraining", "embed_file", "inspection"],
    ["resolver"],
    ["ai2_pair", "embedding", "in_dtype"],
    ["elmo_layer"],
    ["presets", "token_memory", "word_layers"],
    ["ai2"],
    ["layers"],
    ["text"],
    ["atomic", "errors", "_version"],
]
ROW_OF = {part: row for row, parts in enumerate(ROWS) for part in parts}

# Where a module that is not everywhere may be imported, by path.
ONLY_IN = {
    "tensorflow": (
        "text/string_ids.py",
        "text/raw_text.py",
        "saved_model/",
        "serving/",
        "ai2/checkpoint.py",
        "layers/tensorflow_",
        "pretraining/tensorflow_",
        "embedding.py",
        "cli/_quiet.py",
    ),
    "tensorflow_text": ("text/raw_text.py", "serving/loaded_model.py"),
    "tensorflow_serving": ("serving/", "saved_model/warmup.py"),
    "grpc": ("serving/",),
    "grpc_health": ("serving/server.py",),
    "jax": ("pretraining/jax_step.py",),
    "torch": ("pretraining/torch_step.py",),
    "tensorboard": ("pretraining/scalars.py",),
    "h5py": ("ai2/hdf5_file.py", "embed_file.py", "inspection.py"),
    "matplotlib": ("serving/load_report.py",),
    "onnx": ("saved_model/onnx_file.py", "saved_model/onnx_graph.py"),
    "onnxruntime": ("saved_model/onnx_file.py",),
    "rich": ("cli/", "demo.py"),
    "tf2onnx": ("saved_model/onnx_file.py",),
}
FILES = sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))


def imports(path):
    """The full names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse((PACKAGE / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(path):
    return pathlib.PurePosixPath(path).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", [f for f in FILES if f != "__init__.py"])
def test_a_part_imports_downwards(path):
    own = part_of(path)
    for name in imports(path):
        names = name.split(".")
        if names[0] != "keras_elmo" or len(names) == 1:
            assert name != "keras_elmo", f"{path} imports the package's root"
            continue
        if names[1] not in ROW_OF:
            continue  # a name within a module of the root, checked with the module
        assert names[1] == own or ROW_OF[names[1]] > ROW_OF[own], f"{path}: {name}"


def test_every_part_has_a_row():
    parts = {part_of(path) for path in FILES} - {"__init__"}
    assert parts == set(ROW_OF)


@pytest.mark.parametrize("module", ONLY_IN)
def test_some_modules_are_imported_in_few_places(module):
    found = [
        path
        for path in FILES
        if any(name.split(".")[0] == module for name in imports(path))
    ]
    assert [path for path in found if not path.startswith(ONLY_IN[module])] == []


def test_layers_need_keras_and_numpy_alone():
    allowed = {"keras", "numpy", "keras_elmo", *sys.stdlib_module_names}
    for path in FILES:
        if path.startswith("layers/") and not path.startswith("layers/tensorflow_"):
            assert {name.split(".")[0] for name in imports(path)} <= allowed, path


def run(code, *flags):
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_importing_the_package_imports_no_server_and_no_tensorflow_text():
    code = (
        "import sys, keras_elmo; "
        "print({'grpc', 'tensorflow_text', 'tensorflow_serving'} & set(sys.modules))"
    )
    assert run(code) == "set()\n"
