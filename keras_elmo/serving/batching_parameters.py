"""What a server has to know for batching: the stock server's BatchingParameters."""

import dataclasses
import os

from keras_elmo.errors import FormatError
from keras_elmo.serving.text_config import message_class, read_text_config

_MESSAGE = message_class(
    "BatchingParameters",
    {
        "max_batch_size": "Int64Value",
        "batch_timeout_micros": "Int64Value",
        "max_enqueued_batches": "Int64Value",
        "num_batch_threads": "Int64Value",
        "thread_pool_name": "StringValue",
        "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": "BoolValue",
        "max_execution_batch_size": "Int64Value",
    },
)
_NUMBERS = (
    "max_batch_size",
    "batch_timeout_micros",
    "max_enqueued_batches",
    "num_batch_threads",
)


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """How requests are merged; names and defaults are TensorFlow Serving's.

    Args:
        max_batch_size: Most rows in a batch, and in a request.
        batch_timeout_micros: A batch that is not full waits this long for more.
        max_enqueued_batches: A queue with this many batches takes no further one.
        num_batch_threads: Batches computed at the same time.
        allowed_batch_sizes: A batch is filled up to the next of these. The last is
            `max_batch_size`.
        pad_variable_length_inputs: Pad requests of other shapes, with the first
            element of each; else they fail together.

    Raises:
        ValueError: if a number is out of range.

    >>> BatchingParameters(max_batch_size=32).max_enqueued_batches
    10
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False

    def __post_init__(self):
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive; was {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise ValueError(
                "batch_timeout_micros must be non-negative; was "
                f"{self.batch_timeout_micros}"
            )
        sizes = self.allowed_batch_sizes
        if sizes and sizes[-1] != self.max_batch_size:
            raise ValueError(
                "Last entry in allowed_batch_sizes must match max_batch_size; last "
                f"entry was {sizes[-1]}; expected {self.max_batch_size}"
            )
        if any(a >= b for a, b in zip((0, *sizes), sizes, strict=False)):
            raise ValueError(
                "allowed_batch_sizes entries must be positive and monotonically "
                f"increasing; were {list(sizes)}"
            )

    def rounded(self, size: int) -> int:
        """The number of rows to which a batch is filled up.

        Args:
            size: int from 1 to `max_batch_size`.

        >>> BatchingParameters(8, allowed_batch_sizes=(4, 8)).rounded(3)
        4
        """
        return next((n for n in self.allowed_batch_sizes if n >= size), size)


def read_batching_parameters(path: str | os.PathLike) -> BatchingParameters:
    """Read the file that the stock server takes as `--batching_parameters_file`.

    Args:
        path: A text file with `max_batch_size { value: 32 }` and so on.

    Returns:
        The parameters.

    Raises:
        FormatError: if the file is no such text, or asks for what is not here: the
            splitting of large batches.
        OSError: if the file can not be read.

    >>> _ = Path("batching.pbtxt").write_text("max_batch_size { value: 32 }")
    >>> read_batching_parameters("batching.pbtxt").max_batch_size
    32
    """
    message = read_text_config(path, _MESSAGE)
    if message.enable_large_batch_splitting.value:
        raise FormatError(
            f"{os.fspath(path)}: enable_large_batch_splitting is not known to this "
            "server, only to TensorFlow Serving; expected false."
        )
    if message.HasField("max_execution_batch_size"):
        raise FormatError(
            f"{os.fspath(path)}: max_execution_batch_size belongs to the splitting of "
            "large batches, which is not known to this server."
        )
    given = {
        name: getattr(message, name).value
        for name in _NUMBERS
        if message.HasField(name)
    }
    try:
        return BatchingParameters(
            **given,
            allowed_batch_sizes=tuple(message.allowed_batch_sizes),
            pad_variable_length_inputs=message.pad_variable_length_inputs,
        )
    except ValueError as error:
        raise FormatError(f"{os.fspath(path)}: {error}.") from error
