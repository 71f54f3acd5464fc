"""What a load test of a model server found: figures, text, a picture."""

import dataclasses
import os
from typing import Any

import numpy as np

from keras_elmo.atomic import written_beside

_PERCENTILES = (50, 95, 99)


@dataclasses.dataclass(frozen=True, eq=False)
class LoadReport:
    """What a server made of a load.

    Throughput counts answered requests only. A latency is the time of one answered
    request: from when it was sent or, under a rate, from when it was due.

    Args:
        setup: What was asked of `run_load`, for the report.
        seconds: From the first request to the last reply.
        answered: Number of requests with an answer.
        sentences: Number of sentences in them.
        tokens: Number of words in those.
        reply_bytes: Sizes of the answers, added up.
        started_s: Float array `(answered,)`: start of each, in seconds.
        latency_ms: Float array `(answered,)`: latency of each, in milliseconds.
        errors: Number of failed requests by the name of their status code.

    >>> report = LoadReport(
    ...     setup={"model": "toy"}, seconds=2.0, answered=2, sentences=4, tokens=8,
    ...     reply_bytes=640, started_s=np.array([0.0, 1.0]),
    ...     latency_ms=np.array([40.0, 50.0]), errors={"UNAVAILABLE": 1},
    ... )
    >>> report.requests, report.per_second("tokens"), report.percentile(50)
    (3, 4.0, 40.0)
    """

    setup: dict[str, Any]
    seconds: float
    answered: int
    sentences: int
    tokens: int
    reply_bytes: int
    started_s: np.ndarray
    latency_ms: np.ndarray
    errors: dict[str, int]

    @property
    def requests(self) -> int:
        """Number of requests, answered or not."""
        return self.answered + sum(self.errors.values())

    def per_second(self, what: str = "answered") -> float:
        """Throughput.

        Args:
            what: `"answered"` (requests), `"sentences"`, `"tokens"` or `"reply_bytes"`.
        """
        return getattr(self, what) / self.seconds if self.seconds else 0.0

    def percentile(self, percent: int) -> float | None:
        """The smallest latency that `percent` in a hundred answers do not exceed.

        Args:
            percent: int from 1 to 100; 100 gives the largest.

        Returns:
            Milliseconds, or None where nothing was answered.
        """
        if not len(self.latency_ms):
            return None
        rank = -(-percent * len(self.latency_ms) // 100)
        return float(np.sort(self.latency_ms)[rank - 1])

    def as_json(self) -> dict[str, Any]:
        """The facts of the report as a dict that `json.dumps` takes."""
        return {
            **self.setup,
            "requests": self.requests,
            "answered": self.answered,
            "errors": dict(self.errors),
            "sentences": self.sentences,
            "tokens": self.tokens,
            "reply_bytes": self.reply_bytes,
            "seconds": round(self.seconds, 4),
            "requests_per_s": round(self.per_second(), 2),
            "sentences_per_s": round(self.per_second("sentences"), 2),
            "tokens_per_s": round(self.per_second("tokens"), 2),
            "latency_ms": {
                "max" if percent == 100 else f"p{percent}": value and round(value, 3)
                for percent in (*_PERCENTILES, 100)
                for value in [self.percentile(percent)]
            },
        }

    def text(self) -> str:
        """The facts of the report in a few lines to read."""
        facts = self.as_json()
        latency = "  ".join(
            f"{name} {'-' if value is None else format(value, '.1f')}"
            for name, value in facts["latency_ms"].items()
        )
        errors = ", ".join(f"{name} {n}" for name, n in sorted(self.errors.items()))
        return "\n".join(
            [
                "  ".join(f"{name} {value}" for name, value in self.setup.items()),
                f"requests    {self.requests} in {self.seconds:.2f} s, "
                f"{self.answered} answered, {self.reply_bytes / 1e6:.1f} MB of answers",
                f"throughput  {self.per_second():.1f} requests/s, "
                f"{self.per_second('sentences'):.1f} sentences/s, "
                f"{self.per_second('tokens'):.0f} tokens/s",
                f"latency     {latency} (ms)",
                f"errors      {errors or 'none'}",
            ]
        )

    def plot(self, path: str | os.PathLike):
        """Draw the latencies: over time, and the share of answers that came by then.

        Args:
            path: File to write, a picture of the kind that its end says (.png, .svg).

        Raises:
            ImportError: if matplotlib is missing.
            OSError: if the file can not be written.
            ValueError: if its end is of no known kind.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "LoadReport.plot: expected matplotlib, found none; "
                'pip install "keras_elmo[plot]" brings it.'
            ) from error
        figure = Figure((10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(self.started_s, self.latency_ms, ".", markersize=3)
        left.set(
            xlabel="start of the request (s)", ylabel="latency (ms)", ylim=(0, None)
        )
        ordered = np.sort(self.latency_ms)
        share = np.arange(1, len(ordered) + 1) / max(1, len(ordered))
        right.step(ordered, 100 * share, where="post")
        for percent in _PERCENTILES if len(ordered) else ():
            value = self.percentile(percent)
            right.axvline(value, color="gray", linewidth=0.8)
            right.annotate(f" p{percent} {value:.1f} ms", (value, percent))
        right.set(xlabel="latency (ms)", ylabel="answers by then (%)", ylim=(0, 102))
        figure.suptitle(
            f"{self.per_second():.1f} requests/s, {self.per_second('sentences'):.1f} "
            f"sentences/s, {sum(self.errors.values())} errors"
        )
        end = os.path.splitext(path)[1].removeprefix(".")
        with written_beside(path) as beside:
            figure.savefig(beside, format=end or "png", dpi=150)
