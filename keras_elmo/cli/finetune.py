"""The command `keras-elmo finetune`: train a language model further."""

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
        "finetune",
        help="train a language model further, on other text",
        description="Train a language model further, on the text of a task or a "
        "domain, with the vocabulary that it has, and tell the held-out perplexity "
        "before and after. MODEL stays as it is; RUN is as of pretrain, and the same "
        "command on it goes on.",
    )
    parser.epilog = (
        "example: keras-elmo finetune elmo_tiny_en --train task.txt "
        "--heldout task-dev.txt -o runs/task"
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="folder of a training run or one of its .npz checkpoints, a preset with "
        "its softmax, or the folder of bilm-tf's training",
    )
    parser.add_argument(
        "--vocab", metavar="FILE", help="the vocabulary (vocab.txt beside MODEL)"
    )
    add_training_arguments(parser, epochs=1.0, batch=32, optimizer="adam")
    parser.set_defaults(run=run)


def run(args):
    """Train, and print the perplexities.

    Args:
        args: `argparse.Namespace` with the arguments of `finetune` and `json`.

    Raises:
        FormatError: if MODEL has no softmax, or as of `pretrain`.
        OSError: if a file cannot be read or written, or another process trains in RUN.
    """
    from keras_elmo.pretraining.model_files import load_language_model
    from keras_elmo.pretraining.train import finetune

    model = load_language_model(args.model, args.vocab)
    last = run_training(
        args,
        lambda **others: finetune(
            model, args.train, args.heldout, args.out, settings_of(args), **others
        ),
    )
    print_end(last, args)
