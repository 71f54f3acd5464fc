"""The option `--token-cache` of commands that compute vectors."""


def cache_words(elmos, path):
    """Have layers look up the words of a file.

    Args:
        elmos: List of `ElmoLayer`s.
        path: The file, one word a line.

    Raises:
        FormatError: if the file is not UTF-8 or has no words, or a layer spells none.
        OSError: if the file cannot be opened.

    >>> cache_words([elmo], "no_such_file.txt")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no_such_file.txt'
    """
    from keras_elmo.errors import FormatError
    from keras_elmo.text.vocabulary import read_words

    words = [word for word in read_words(path) if word]
    try:
        for elmo in elmos:
            elmo.cache_tokens(words)
    except ValueError as error:
        raise FormatError(f"--token-cache {path}: {error}") from error
