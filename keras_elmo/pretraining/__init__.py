"""Pre-training a biLM: text, sampling, the language model, training, evaluation.

`pretrain`, `finetune` and `TrainingSettings` are here by name.
"""

__all__ = ["TrainingSettings", "finetune", "pretrain"]


def __getattr__(name):
    # Not at once: the command line reads names of this package before Keras is there.
    if name in ("finetune", "pretrain"):
        from keras_elmo.pretraining import train

        return getattr(train, name)
    if name == "TrainingSettings":
        from keras_elmo.pretraining.settings import TrainingSettings

        return TrainingSettings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
