"""Replaying a version's own requests, before it is served."""

from pathlib import Path

from keras_elmo.errors import FormatError
from keras_elmo.saved_model.warmup import MOST_RECORDS, WARMUP_FILE, read_warmup
from keras_elmo.serving.checks import RequestError
from keras_elmo.serving.examples import classify, regress
from keras_elmo.serving.loaded_model import LoadedModel
from keras_elmo.serving.predict import predict

_ANSWER = {"predict_log": predict, "classify_log": classify, "regress_log": regress}


def replay(model: LoadedModel) -> int:
    """Replay the recorded requests of a version.

    The first requests of each shape are slow ones; these spare the clients that. Their
    model and version are not looked at, their signature is.

    Args:
        model: The version.

    Returns:
        The number of requests.

    Raises:
        FormatError: if a request fails, or can not be read.

    >>> replay(loaded)
    0
    """
    path = model.folder / WARMUP_FILE
    if not path.is_file():
        return 0
    count = 0
    for record in _records(path):
        count += 1
        if count > MOST_RECORDS:
            raise FormatError(
                f"{path}: Number of warmup records exceeds the maximum "
                f"({MOST_RECORDS})."
            )
        kind = record.WhichOneof("log_type")
        if kind not in _ANSWER:
            raise FormatError(
                f"{path}: record {count}: Unsupported log_type for warmup: {kind}."
            )
        try:
            _ANSWER[kind](getattr(record, kind).request, model.signatures, model.run)
        except RequestError as error:
            raise FormatError(
                f"{path}: record {count}: {error.code.name}: {error.text}"
            ) from error
    return count


def _records(path: Path):
    try:
        yield from read_warmup(path.parent.parent)
    except Exception as error:  # A damaged file fails in one of several ways.
        raise FormatError(
            f"{path}: expected a TFRecord file of PredictionLog, found: "
            f"{type(error).__name__}: {error}"
        ) from error
