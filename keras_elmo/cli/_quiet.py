"""Keeping TensorFlow's start-up lines out of a command's output."""

import contextlib
import os
import sys
import tempfile
import warnings


@contextlib.contextmanager
def native_stderr_held():
    """Hold back what is written to file descriptor 2; show it where the block raises.

    TensorFlow's C++ parts write there before any setting of theirs is read.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def export_held():
    """As `native_stderr_held`, for exports: what they warn of is told at the end."""
    from keras_elmo.errors import PaddingWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PaddingWarning)
        with native_stderr_held():
            yield
    for warning in caught:
        if issubclass(warning.category, PaddingWarning):
            print(f"keras-elmo: warning: {warning.message}", file=sys.stderr)


def import_tensorflow():
    """Import Keras, and TensorFlow where that is its backend, without a word."""
    # Errors too: oneDNN logs one where a CPU has no AVX-512. Real ones are raised.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_stderr_held():
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.zeros(())  # the second burst of lines comes with the first operation
