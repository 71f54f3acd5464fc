"""The command `keras-elmo pretrain`: train a biLM on text."""

from keras_elmo.cli._training import (
    add_training_arguments,
    print_end,
    run_training,
    settings_of,
)


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    parser = subparsers.add_parser(
        "pretrain",
        help="train a biLM on tokenised text",
        description="Train a biLM on tokenised text, or go on with a run that was "
        "stopped: the same command on the same RUN goes on. A finished RUN has "
        "options.json and lm_weights.hdf5, which are AI2's and any ELMo reader takes, "
        "softmax.hdf5, vocab.txt, log.jsonl, and the last and the best checkpoint.",
    )
    parser.epilog = (
        "example: keras-elmo pretrain --train 'shards/*.txt.gz' --heldout heldout.txt "
        "--vocab vocab.txt --config small -o runs/small"
    )
    parser.add_argument(
        "--vocab",
        metavar="FILE",
        required=True,
        help="words to predict, by falling frequency (keras-elmo vocab)",
    )
    parser.add_argument(
        "--config",
        required=True,
        help="tiny, small, medium or original, or an options file of AI2's, of which "
        "lstm and char_cnn are read; without char_cnn words are read by their numbers",
    )
    add_training_arguments(parser, epochs=10.0, batch=128, optimizer="adagrad")
    parser.add_argument(
        "--share-embedding-softmax",
        action="store_true",
        help="predict with the word embedding's own vectors (word input)",
    )
    parser.set_defaults(run=run)


def run(args):
    """Train, and print the perplexity at the end.

    Args:
        args: `argparse.Namespace` with the arguments of `pretrain` and `json`.

    Raises:
        FormatError: if a file does not hold what it should, the vocabulary is too
            small for `negatives`, the run began with other arguments, or the loss is
            no longer a number.
        OSError: if a file cannot be read or written, or another process trains in RUN.
    """
    from keras_elmo.pretraining.configs import find_config
    from keras_elmo.pretraining.train import pretrain

    print_end(
        run_training(
            args,
            lambda **others: pretrain(
                args.train,
                args.heldout,
                args.vocab,
                find_config(args.config),
                args.out,
                settings_of(args, share_embedding_softmax=args.share_embedding_softmax),
                **others,
            ),
        ),
        args,
    )
