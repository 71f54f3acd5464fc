"""The stock server's BatchingParameters."""

import os

import pytest

from keras_elmo.errors import FormatError
from keras_elmo.serving import BatchingParameters, read_batching_parameters

WHOLE = """
max_batch_size { value: 32 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 4 }
thread_pool_name { value: "batch" }
allowed_batch_sizes: 8
allowed_batch_sizes: [16, 32]
pad_variable_length_inputs: true
enable_large_batch_splitting { value: false }
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "batching.pbtxt").write_text(text)
        return read_batching_parameters(tmp_path / "batching.pbtxt")

    return read


def test_every_parameter_is_read(read):
    assert read(WHOLE) == BatchingParameters(32, 2000, 100, 4, (8, 16, 32), True)


def test_the_defaults_are_those_of_the_stock_server(read):
    expected = BatchingParameters(1000, 0, 10, os.cpu_count(), (), False)
    assert read("") == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("max_batch_size: 32", "batching.pbtxt: expected a BatchingParameters.* 1:1"),
        ("\nmax_batch { value: 1 }", "batching.pbtxt: .*2:1.*no field named"),
        (
            "enable_large_batch_splitting { value: true }",
            "enable_large_batch_splitting",
        ),
        ("max_execution_batch_size { value: 8 }", "max_execution_batch_size"),
        ("max_batch_size { value: 0 }", "max_batch_size must be positive; was 0"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        (
            "max_enqueued_batches { value: 0 }",
            "max_enqueued_batches must be positive; was 0",
        ),
        (
            "batch_timeout_micros { value: -1 }",
            "batch_timeout_micros must be non-negative; was -1",
        ),
        (
            "max_batch_size { value: 32 } allowed_batch_sizes: 8",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry "
            "was 8; expected 32",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [4, 2, 8]",
            "monotonically increasing",
        ),
    ],
)
def test_a_file_that_will_not_do_is_named_with_the_place(read, text, message):
    with pytest.raises(FormatError, match=message):
        read(text)


def test_rounding():
    parameters = BatchingParameters(8, allowed_batch_sizes=(2, 8))
    assert [parameters.rounded(n) for n in (1, 2, 3, 8)] == [2, 2, 8, 8]
    assert BatchingParameters(8).rounded(3) == 3
