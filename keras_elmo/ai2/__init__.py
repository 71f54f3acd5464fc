"""AI2's files, both ways: `options.json` and `lm_weights.hdf5` of bilm-tf."""
