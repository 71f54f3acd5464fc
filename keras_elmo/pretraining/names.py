"""What can be asked for by name; known before Keras is imported."""

# AI2's for Adagrad; for the others what their field is used to.
LEARNING_RATES = {
    "adagrad": 0.2,
    "adam": 0.002,
    "adamw": 0.002,
    "lion": 0.0003,
    "nadam": 0.002,
    "rmsprop": 0.001,
    "sgd": 1.0,
}
SCHEDULES = ("constant", "cosine", "exponential", "linear")
DTYPES = ("float32", "mixed_bfloat16")
