"""Progress of a command, on stderr."""

import sys


def progress_bar(*columns):
    """A bar on stderr, which shows nothing where that is not a terminal.

    Args:
        *columns: As of `rich.progress.Progress`.

    Returns:
        `rich.progress.Progress`, a context manager.

    >>> with progress_bar() as bar:
    ...     task = bar.add_task("sentences", total=10)
    ...     bar.update(task, completed=5)
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False)
    return Progress(
        *columns,
        console=console,
        transient=True,
        disable=not sys.stderr.isatty(),
        redirect_stdout=False,  # results stay what they are
    )
