"""Models as SavedModels, for TensorFlow Serving and whatever else reads them."""
