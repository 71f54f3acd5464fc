"""Optimizers and schedules of the learning rate, by name."""

import keras

from keras_elmo.pretraining.backend import steps as backend_steps
from keras_elmo.pretraining.names import LEARNING_RATES, SCHEDULES

_WARM_UP = 0.02  # of all steps, with the cosine schedule
_EXPONENTIAL_END = 0.01  # of the first learning rate


def new_optimizer(
    name: str, learning_rate: float | None, schedule: str, steps: int
) -> keras.optimizers.Optimizer:
    """An optimizer of Keras.

    Args:
        name: A key of `LEARNING_RATES`. Adagrad's accumulators begin at 1, as AI2's.
        learning_rate: None for the one in `LEARNING_RATES`.
        schedule: `"constant"`; `"cosine"`, a short rise, then down to zero;
            `"linear"`, down to zero; `"exponential"`, down to a hundredth.
        steps: Of the whole run.

    Raises:
        ValueError: Another name or schedule.

    >>> new_optimizer("adagrad", None, "constant", 100).name
    'adagrad'
    """
    if name not in LEARNING_RATES:
        raise ValueError(
            f"optimizer: expected one of {', '.join(LEARNING_RATES)}, received "
            f"{name!r}."
        )
    rate = LEARNING_RATES[name] if learning_rate is None else learning_rate
    rate = _scheduled(rate, schedule, steps)
    if name == "adagrad":
        return backend_steps().Adagrad(rate, initial_accumulator_value=1.0, name=name)
    if name == "adam":
        return backend_steps().Adam(rate, name=name)
    config = {"learning_rate": rate, "name": name}
    return keras.optimizers.get({"class_name": name, "config": config})


def _scheduled(rate, schedule, steps):
    schedules = keras.optimizers.schedules
    if schedule == "constant":
        return rate
    if schedule == "cosine":
        warm_up = max(1, round(_WARM_UP * steps))
        return schedules.CosineDecay(
            0.0, max(1, steps - warm_up), warmup_target=rate, warmup_steps=warm_up
        )
    if schedule == "linear":
        return schedules.PolynomialDecay(rate, steps, end_learning_rate=0.0)
    if schedule == "exponential":
        return schedules.ExponentialDecay(rate, steps, _EXPONENTIAL_END)
    raise ValueError(
        f"schedule: expected one of {', '.join(SCHEDULES)}, received {schedule!r}."
    )
