"""The package's own error: a file that does not hold what it should."""


class FormatError(ValueError):
    """A file's content is not what its format asks for.

    The message is one line: the file, the entry in it, what was expected and
    why, and what was found. Arguments of wrong type or value raise `ValueError`,
    files that cannot be opened `OSError`.
    """
