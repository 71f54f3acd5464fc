"""Pre-training a biLM: text, sampling, the language model, training, evaluation."""
