"""The package's own error and warning."""


class FormatError(ValueError):
    """A file's content is not what its format asks for.

    The message is one line: the file, the entry in it, what was expected and
    why, and what was found. Arguments of wrong type or value raise `ValueError`,
    files that cannot be opened `OSError`.
    """


class PaddingWarning(UserWarning):
    """Padding changes what an exported model answers, for a layer of it sees it.

    >>> raise PaddingWarning("models/m/1: padding changes these outputs: most.")
    Traceback (most recent call last):
    keras_elmo.errors.PaddingWarning: models/m/1: padding changes these outputs: most.
    """
