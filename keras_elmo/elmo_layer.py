"""ELMo as one layer: words in, contextual vectors out."""

import os
from collections.abc import Iterable, Sequence

import keras
import numpy as np
from keras import ops

from keras_elmo.ai2.files import write_layers
from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.masking import ApplyMask
from keras_elmo.layers.scalar_mix import ScalarMix
from keras_elmo.layers.state_rows import StateRows
from keras_elmo.presets.catalog import preset_directory
from keras_elmo.presets.files import ARGUMENTS, read_preset, write_preset_file
from keras_elmo.text.characters import DEFAULT_MAX_CHARS, SENTENCE_WORDS
from keras_elmo.text.string_arrays import explain_string_arrays
from keras_elmo.text.token_cache import TokenCache
from keras_elmo.text.word_reader import WordReader, check_form
from keras_elmo.word_layers import WordLayers, without_boundaries

_CACHED_AT_A_TIME = 512  # words

explain_string_arrays()


@keras.saving.register_keras_serializable(package="keras_elmo")
class ElmoLayer(keras.layers.Layer):
    """Contextual word vectors: a token encoder, a `BiLM`, and one or more `ScalarMix`.

    `ElmoLayer.from_preset`, `keras_elmo.load_ai2` and `.keras` files give one with
    trained weights. Sentence boundaries are added here and taken away again, so
    neither inputs nor outputs have them.

    What is padding: `lengths` alone decide where they are given. Else a row of
    strings ends at its last non-empty string (a "" before that is the empty word, a
    real one), and a row of ids at its last row that is not all 0. Outputs are zero
    and masked there, in every layer.

    What trains: the mixes; encoder and biLM too with `fine_tune`, whatever
    `trainable` is set to later. `trainable=False` stops all of it.

    Stateless by default: a sentence's vectors depend on that sentence alone. With
    `stateful`, LSTM states stay from call to call, by row, as in AI2's code.

    Args:
        token_encoder: A `CharacterEncoder`; or with `vocabulary` a
            `keras.layers.Embedding` of `len(vocabulary) + 1` rows.
        bilm: The biLM.
        vocabulary: List of words for word input, `<S>`, `</S>` and `<UNK>` among
            them. None: characters.
        max_chars_per_token: Bytes of a word are cut to two fewer. AI2: 50.
        num_representations: int >= 1. Mixes, each with its own weights. The paper
            uses two where a task has attention behind its encoder.
        dropout: Rate, on each output while training. The paper's recipes have 0.5.
        do_layer_norm, use_top_only, l2_coef: See `ScalarMix`. The paper's recipes have
            no layer normalisation, and an `l2_coef` of 0.001 for most tasks.
        fine_tune: bool. Train encoder and biLM too.
        keep_sentence_boundaries: bool. Keep `<S>` and `</S>` in the outputs, which then
            have two more steps; a sentence ends with its `</S>`.
        stateful: bool. Start each row from the states that the call before left.
        max_batch_size: int. Rows of state with `stateful`; AI2: 128.
        seed: int or None. Of the dropout.

    Call arguments:
        inputs: Words, `(batch, time)` of strings (TensorFlow backend): a tensor, a
            NumPy array, a Keras tensor. Or character ids `(batch, time, chars)`, as
            from `batch_to_ids`, on any backend. With `vocabulary`, words or token ids
            `(batch, time)`: place in the vocabulary + 1, 0 for padding.
        lengths: int `(batch,)` or None. Real words of each row.

    Returns:
        Float tensor `(batch, time, 2 * P)`; a list of them with
        `num_representations` above 1.

    Raises:
        ValueError: Inputs or lengths of another form; strings where the backend is
            not TensorFlow; with `stateful` a batch above `max_batch_size`.

    Example:

    >>> elmo = keras_elmo.ElmoLayer(
    ...     keras_elmo.CharacterEncoder([(1, 8), (2, 8)], projection_dim=4),
    ...     keras_elmo.BiLM(units=16, projection_dim=4),
    ... )
    >>> elmo(np.array([["Small", "is", "beautiful"], ["Stop", "!", ""]])).shape
    TensorShape([2, 3, 8])

    Source: Peters et al. 2018; `bilm/elmo.py` in bilm-tf; `Elmo` in AllenNLP, whose
    argument names these are.
    """

    def __init__(
        self,
        token_encoder: keras.layers.Layer,
        bilm: BiLM,
        vocabulary: Sequence[str] | None = None,
        max_chars_per_token: int = DEFAULT_MAX_CHARS,
        num_representations: int = 1,
        dropout: float = 0.0,
        do_layer_norm: bool = False,
        use_top_only: bool = False,
        l2_coef: float = 0.0,
        fine_tune: bool = False,
        keep_sentence_boundaries: bool = False,
        stateful: bool = False,
        max_batch_size: int = 128,
        seed: int | None = None,
        **kwargs,
    ):
        _check_arguments(
            token_encoder,
            vocabulary,
            max_chars_per_token,
            num_representations,
            max_batch_size,
        )
        super().__init__(**kwargs)
        self.token_encoder = token_encoder
        self.bilm = bilm
        self.vocabulary = None if vocabulary is None else list(vocabulary)
        self.max_chars_per_token = max_chars_per_token
        self.num_representations = num_representations
        self.dropout = dropout
        self.do_layer_norm = do_layer_norm
        self.use_top_only = use_top_only
        self.l2_coef = l2_coef
        self.fine_tune = fine_tune
        self.keep_sentence_boundaries = keep_sentence_boundaries
        self.stateful = stateful
        self.max_batch_size = max_batch_size
        self.seed = seed
        self.mixes = [
            ScalarMix(
                do_layer_norm,
                use_top_only,
                l2_coef,
                dtype=self.dtype_policy,
                trainable=self.trainable,
            )
            for _ in range(num_representations)
        ]
        self._dropouts = [
            keras.layers.Dropout(
                dropout,
                seed=None if seed is None else seed + i,
                dtype=self.dtype_policy,
            )
            for i in range(num_representations)
        ]
        self._apply_mask = ApplyMask(dtype=self.dtype_policy)
        cnn = getattr(token_encoder, "char_cnn", None)
        spare = None if cnn is None else cnn.widest
        self.reader = WordReader(vocabulary, max_chars_per_token, spare)
        self.word_layers = WordLayers(self.reader, token_encoder, bilm)
        self._state = None
        self.supports_masking = True
        if keras.backend.backend() == "tensorflow":
            self.supports_jit = False  # XLA knows no strings
        self._freeze()

    @property
    def reads_characters(self) -> bool:
        """Whether words are spelled, as against looked up in a vocabulary."""
        return self.vocabulary is None

    @property
    def trainable(self) -> bool:
        """Whether anything trains; see `fine_tune` for what that is."""
        return keras.layers.Layer.trainable.fget(self)

    @trainable.setter
    def trainable(self, value):
        # Keras hands the value to all layers within, the frozen ones too.
        keras.layers.Layer.trainable.fset(self, value)
        self._freeze()

    def _freeze(self):
        if self.fine_tune and self.trainable:
            return
        for layer in (self.token_encoder, self.bilm):
            layer.trainable = False
            # Keras passes over an assignment that changes nothing, and with it over
            # layers within that were set apart since.
            for weight in layer.weights:
                weight.trainable = False

    def build(self, input_shape):
        width = self.bilm.direction_dim
        if not self.token_encoder.built:
            characters = (None, None, None)
            self.token_encoder.build(
                characters if self.reads_characters else (None, None)
            )
        if not self.bilm.built:
            self.bilm.build((None, None, width))
        shape = (None, self.bilm.num_layers + 1, None, 2 * width)
        for mix in self.mixes:
            if not mix.built:
                mix.build(shape)
        self._freeze()  # once more: only now there are weights
        if self.stateful:
            self._state = StateRows(self.bilm, self.max_batch_size)

    def __call__(self, inputs, lengths=None, **kwargs):
        # Before Keras converts them, and says less of what is wrong.
        check_form(inputs)
        if isinstance(lengths, (list, tuple)):
            lengths = np.array(lengths)
        return super().__call__(inputs, lengths=lengths, **kwargs)

    def call(self, inputs, lengths=None, training=None):
        layers, mask, words = self._run(self.reader.read(inputs, lengths))
        outputs = []
        for mix, dropout in zip(self.mixes, self._dropouts, strict=True):
            mixed = dropout(mix(layers, mask=words), training=training)
            outputs.append(self._apply_mask([mixed, mask]))
        return outputs if self.num_representations > 1 else outputs[0]

    def all_layers(self, inputs, lengths=None):
        """Every layer of the biLM, not mixed: for probing, or for mixes of one's own.

        Args:
            inputs, lengths: As to call the layer.

        Returns:
            Float tensor `(batch, L + 1, time, 2 * P)`, without boundaries, zero at
            padding. Layer 0 is the context-free token vector, twice.

        >>> elmo.all_layers(np.array([["so", "it", "goes"]])).shape
        TensorShape([1, 3, 3, 256])
        """
        check_form(inputs)
        if keras.backend.is_keras_tensor(inputs):
            raise ValueError(
                "ElmoLayer.all_layers: expected an array or a tensor, received a Keras "
                "tensor; in a functional model call the layer itself."
            )
        inputs = ops.convert_to_tensor(inputs)
        if lengths is not None:
            lengths = ops.convert_to_tensor(lengths)
        if not self.built:
            self.build(inputs.shape)
        layers, _, words = self._run(self.reader.read(inputs, lengths))
        if self.keep_sentence_boundaries:
            layers, _ = without_boundaries(layers, words)
        return layers

    def _run(self, reading):
        """Layers, which of their steps are real, and which are words."""
        if self.stateful:
            layers, mask, words = self._run_from_state(reading)
        elif self.keep_sentence_boundaries:
            layers, mask, words, _ = self.word_layers.from_state(reading)
        else:
            layers, mask = self.word_layers.from_zero(reading)
            words = mask
        if not self.fine_tune:
            layers = ops.stop_gradient(layers)
        return layers, mask, words

    def _run_from_state(self, reading):
        batch = ops.shape(reading.places)[0]
        if isinstance(batch, int) and batch > self.max_batch_size:
            raise ValueError(
                "ElmoLayer: expected a batch of at most max_batch_size, "
                f"{self.max_batch_size}, with stateful=True, received {batch}."
            )
        layers, mask, words, state = self.word_layers.from_state(
            reading, self._state.first(batch)
        )
        self._state.keep(state, batch)
        if self.keep_sentence_boundaries:
            return layers, mask, words
        layers, words = without_boundaries(layers, words)
        return layers, words, words

    def cache_tokens(self, words: Iterable[str]):
        """Compute the vectors of these words now, and look them up from now on.

        Other words are spelled as before, so that no vector changes by more than
        rounding. It pays where encoding words is most of the work, as in AI2's `small`.
        Strings alone are looked up, not character ids. What was traced before, such as
        a model's `predict`, goes on without; a saved layer has no cache, and one whose
        weights are loaded anew needs it anew.

        Args:
            words: Such as the lines of a vocabulary; `<S>` and `</S>` are left out.

        Raises:
            ValueError: The layer has a vocabulary, or trains its encoder; no words;
                or the backend is not TensorFlow.

        >>> tiny = keras_elmo.ElmoLayer.from_preset("elmo_tiny_en")
        >>> tiny.cache_tokens(["the", "cat"])
        >>> tiny(np.array([["the", "catfish"]])).shape
        TensorShape([1, 2, 256])
        """
        if not self.reads_characters or self.fine_tune:
            raise ValueError(
                "ElmoLayer.cache_tokens: expected a layer that spells words, with "
                "fine_tune=False, received one "
                + ("that trains." if self.fine_tune else "with a vocabulary.")
            )
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "ElmoLayer.cache_tokens: expected Keras' TensorFlow backend, which "
                f"has strings, this is {keras.backend.backend()}."
            )
        words = [w for w in dict.fromkeys(words) if w not in SENTENCE_WORDS]
        if not words:
            raise ValueError("ElmoLayer.cache_tokens: expected words, received none.")
        self.reader.cache = None
        self.reader.cache = TokenCache(words, self.token_vectors(words))

    def token_vectors(self, words: Sequence[str]) -> np.ndarray:
        """The context-free vectors of words; TensorFlow backend.

        Returns:
            Float32 array `(len(words), P)`: of `<S>` and `</S>` those of the
            boundaries.

        >>> elmo.token_vectors(["the", "cat", "<S>"]).shape
        (3, 128)
        """
        if not self.built:
            self.build(None)
        vectors = np.zeros((len(words), self.bilm.direction_dim), "float32")
        # In the order of their lengths, so that each part has the characters it needs.
        order = sorted(range(len(words)), key=lambda i: len(words[i].encode()))
        for first in range(0, len(order), _CACHED_AT_A_TIME):
            part = order[first : first + _CACHED_AT_A_TIME]
            row = np.array([[words[i] for i in part]], object)
            lengths = ops.convert_to_tensor([len(part)])
            reading = self.reader.read(ops.convert_to_tensor(row), lengths)
            found = self.word_layers.encode(reading)
            found = ops.take(found, reading.places[0], axis=0)
            vectors[part] = ops.convert_to_numpy(ops.cast(found, "float32"))
        return vectors

    def reset_state(self):
        """Set all rows of a stateful layer's state to zero.

        Raises:
            ValueError: The layer is not stateful.

        >>> tiny = keras_elmo.ElmoLayer.from_preset("elmo_tiny_en", stateful=True)
        >>> tiny.reset_state()
        """
        if not self.stateful:
            raise ValueError(
                "ElmoLayer.reset_state: expected stateful=True, received False."
            )
        if self._state is not None:  # else it was never built, and is zero yet
            self._state.reset()

    def compute_mask(self, inputs, mask=None):
        # Reached for Keras tensors alone: `call` masks what it returns, by `lengths`
        # too, which are not to be had here.
        return (
            [None] * self.num_representations if self.num_representations > 1 else None
        )

    def compute_output_shape(self, input_shape):
        batch, time = input_shape[:2]
        if self.keep_sentence_boundaries and time is not None:
            time += 2
        shape = (batch, time, 2 * self.bilm.direction_dim)
        return (
            [shape] * self.num_representations
            if self.num_representations > 1
            else shape
        )

    def get_config(self):
        return {
            **super().get_config(),
            "token_encoder": keras.saving.serialize_keras_object(self.token_encoder),
            "bilm": keras.saving.serialize_keras_object(self.bilm),
            "vocabulary": self.vocabulary,
            "max_chars_per_token": self.max_chars_per_token,
            "num_representations": self.num_representations,
            "dropout": self.dropout,
            "do_layer_norm": self.do_layer_norm,
            "use_top_only": self.use_top_only,
            "l2_coef": self.l2_coef,
            "fine_tune": self.fine_tune,
            "keep_sentence_boundaries": self.keep_sentence_boundaries,
            "stateful": self.stateful,
            "max_batch_size": self.max_batch_size,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        """Make a layer of what `get_config` gave."""
        config = dict(config)
        for name in ("token_encoder", "bilm"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)

    @classmethod
    def from_preset(cls, name_or_directory: str | os.PathLike, **layer_arguments):
        """Load a shipped model by its name, or what `save_to_preset` wrote.

        Args:
            name_or_directory: `"elmo_tiny_en"`, or a directory.
            **layer_arguments: Arguments of `ElmoLayer`, over those of the preset:
                `num_representations=2`, `fine_tune=True`, `dtype="mixed_bfloat16"`.
                Stored mixes are used where their number and form stay the same.

        Raises:
            FormatError: A file in it that does not hold what it should.
            FileNotFoundError: Neither a known name nor a directory.

        >>> keras_elmo.ElmoLayer.from_preset("elmo_tiny_en", dropout=0.5).dropout
        0.5
        """
        directory = preset_directory(name_or_directory)
        stored, mixes = read_preset(directory, layer_arguments.get("dtype"))
        elmo = cls(**(stored | layer_arguments))
        elmo.build(None)
        same = all(
            stored.get(name, getattr(elmo, name)) == getattr(elmo, name)
            for name in ("num_representations", "use_top_only")
        )
        if mixes is not None and same:
            for mix, values in zip(elmo.mixes, mixes, strict=True):
                mix.gamma.assign(values["gamma"])
                if not mix.use_top_only:
                    mix.raw_weights.assign(values["raw_weights"])
        return elmo

    def save_to_preset(self, directory: str | os.PathLike, dtype: str = "float32"):
        """Write the layer for `from_preset`: AI2's two files, and one with the rest.

        Args:
            directory: Made if absent. Files of the same names are replaced.
            dtype: `"float32"`, exact, or `"float16"`, half the size.

        Raises:
            ValueError: A layer without weights, another dtype, or a weight that is too
                large for it.

        >>> elmo.save_to_preset("my_elmo")
        >>> sorted(os.listdir("my_elmo"))
        ['lm_weights.hdf5', 'options.json', 'preset.json']
        """
        self.write_ai2(directory, dtype)
        mixes = [
            {
                "gamma": float(mix.gamma.numpy()),
                "raw_weights": []
                if mix.use_top_only
                else [float(weight) for weight in mix.raw_weights.numpy()],
            }
            for mix in self.mixes
        ]
        arguments = {name: getattr(self, name) for name in ARGUMENTS}
        write_preset_file(directory, arguments, mixes)

    def write_ai2(self, directory: str | os.PathLike, dtype: str = "float32"):
        """Write encoder and biLM as AI2's files; see `save_ai2`, which calls this.

        Args:
            directory, dtype: As of `save_to_preset`.

        Raises:
            ValueError: See `save_to_preset`.
        """
        if not self.built:
            raise ValueError(
                "ElmoLayer: expected a built layer, it has no weights yet."
            )
        write_layers(
            directory,
            self.token_encoder,
            self.bilm,
            self.vocabulary,
            self.max_chars_per_token,
            dtype,
        )


def _check_arguments(
    token_encoder, vocabulary, max_chars_per_token, num_representations, max_batch_size
):
    if num_representations < 1:
        raise ValueError(
            "ElmoLayer: expected num_representations >= 1, "
            f"received {num_representations}."
        )
    if max_batch_size < 1:
        raise ValueError(
            f"ElmoLayer: expected max_batch_size >= 1, received {max_batch_size}."
        )
    cnn = getattr(token_encoder, "char_cnn", None)
    least = 3 if cnn is None else max(3, cnn.widest)
    if max_chars_per_token < least:
        raise ValueError(
            f"ElmoLayer: expected max_chars_per_token >= {least} (the widest "
            f"filter), received {max_chars_per_token}."
        )
    rows = getattr(token_encoder, "input_dim", None)
    if None not in (vocabulary, rows) and rows != len(vocabulary) + 1:
        raise ValueError(
            f"ElmoLayer: expected an Embedding of {len(vocabulary) + 1} rows "
            f"(words of the vocabulary, and padding), received {rows}."
        )
