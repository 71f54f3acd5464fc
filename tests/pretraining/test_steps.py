"""Training steps on TensorFlow: parts of rows, sparse gradients, half precision."""

import numpy as np
import pytest
import tensorflow as tf

from keras_elmo.pretraining.optimizers import new_optimizer
from keras_elmo.pretraining.tensorflow_step import TrainingStep
from tests.pretraining import few_steps, small_models
from tests.pretraining.few_steps import assert_same


@pytest.fixture(scope="module")
def two_parts():
    return few_steps.train(parts=2)


@pytest.fixture(scope="module")
def sparse_gradients():
    """Those of a model whose embedding is read for input and for the softmax."""
    model = small_models.random_word_model(share_embedding_softmax=True)
    step = TrainingStep(model, new_optimizer("sgd", None, "constant", 1), 1.0)
    ((window,),) = few_steps.windows(model.reader, 1, 8, 1)
    _, (gradients,), _ = step.gradients(
        [window], [model.get_initial_state(few_steps.BATCH)], [(0, 0)]
    )
    return gradients


def test_step_over_two_parts_equals_the_step_over_all_rows(two_parts):
    assert_same(two_parts[1], few_steps.train()[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        {"negatives": 0},
        {"new_model": small_models.random_word_model},
        {"new_model": small_models.random_word_model, "share_embedding_softmax": True},
        {"optimizer": "adam"},
    ],
)
def test_step_over_parts_equals_the_step_over_all_rows(arguments):
    assert_same(
        few_steps.train(parts=4, **arguments)[1], few_steps.train(**arguments)[1]
    )


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
def test_repeated_rows_of_gradients_act_as_their_sum(sparse_gradients, optimizer):
    repeated = [
        len(np.unique(g.indices)) < len(g.indices)
        for g in sparse_gradients
        if isinstance(g, tf.IndexedSlices)
    ]
    assert any(repeated)
    dense = [tf.convert_to_tensor(gradient) for gradient in sparse_gradients]
    found = []
    for gradients in (sparse_gradients, dense):
        model = small_models.random_word_model(share_embedding_softmax=True)
        chosen = new_optimizer(optimizer, None, "constant", 1)
        norm = TrainingStep(model, chosen, 0.5).update([gradients])
        assert norm > 0.5
        variables = [*model.trainable_variables, *chosen.variables]
        arrays = {str(i): few_steps.as_array(v) for i, v in enumerate(variables)}
        found.append(arrays | {"norm": np.array(norm)})
    assert_same(*found)


def test_the_softmax_is_not_read_beyond_the_sampled_rows():
    model = small_models.random_model()
    step = TrainingStep(model, new_optimizer("sgd", None, "constant", 1), 1.0)
    ((window,),) = few_steps.windows(model.reader, 1, 8, 1)
    step.gradients([window], [model.get_initial_state(few_steps.BATCH)], [(0, 0)])
    read = {
        tuple(operation.outputs[0].shape)
        for operation in step._compiled_gradients.graph.get_operations()
        if operation.type == "ReadVariableOp"
    }
    weights = {tuple(weight.shape) for weight in model.trainable_variables}
    of_softmax = {tuple(model.softmax_kernel.shape), tuple(model.softmax_bias.shape)}
    assert len(weights & read) > 2 and not of_softmax & read


def test_dropout_follows_from_seed_and_step_alone():
    model = small_models.random_model(dropout=0.4)
    step = TrainingStep(model, new_optimizer("sgd", None, "constant", 1), 1.0)
    ((window,),) = few_steps.windows(model.reader, 1, 0, 1)
    states = [model.get_initial_state(few_steps.BATCH)]

    def losses(*seed):
        return step.gradients([window], states, [seed])[0].tolist()

    found = [losses(seed, step) for seed in range(2) for step in range(3)]
    forward, backward = zip(*[loss for (loss,) in found], strict=True)
    assert len(set(forward)) == len(set(backward)) == len(found)
    assert losses(1, 1) == found[4]


def test_half_precision_leaves_softmax_and_cells_in_float32(two_parts):
    expected = two_parts[1]
    model, found = few_steps.train(parts=2, dtype="mixed_bfloat16")
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=0.02)
    assert (found["losses"] != expected["losses"]).all()
    states = model.get_initial_state(2)
    dtypes = [[str(state.dtype)[9:-2] for state in layer] for layer in states[0]]
    assert dtypes == [["bfloat16", "float32"]] * 2
