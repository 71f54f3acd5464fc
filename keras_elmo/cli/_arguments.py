"""Types of command line arguments, whose errors say what was expected."""

import argparse
import math


def positive_int(text: str) -> int:
    """An int from 1.

    >>> positive_int("32")
    32
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected an int >= 1, received {text!r}")
    return number


def natural(text: str) -> int:
    """An int from 0.

    >>> natural("0")
    0
    """
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"expected an int >= 0, received {text!r}")
    return number


def positive_float(text: str) -> float:
    """A finite number above 0.

    >>> positive_float("0.5")
    0.5
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number > 0, received {text!r}")
    return number


def fraction(text: str) -> float:
    """A number from 0 to below 1.

    >>> fraction("0.1")
    0.1
    """
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(
            f"expected a number from 0 to below 1, received {text!r}"
        )
    return number


def port(text: str) -> int:
    """A TCP port, or 0.

    >>> port("8500")
    8500
    """
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError(
            f"expected an int from 0 to 65535, received {text!r}"
        )
    return number
