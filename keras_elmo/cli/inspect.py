"""The command `keras-elmo inspect`: what a model is and what its files hold."""

_WORDS = {"None": "none", "True": "yes", "False": "no"}


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    from keras_elmo.cli import MODEL_HELP

    parser = subparsers.add_parser(
        "inspect", help="say what a model is and what its files hold"
    )
    parser.epilog = "example: keras-elmo inspect elmo_tiny_en --json"
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args):
    """Print the facts about a model.

    Args:
        args: `argparse.Namespace` with `model` and `json`.

    Raises:
        FormatError: if the model does not load; it says why.
        OSError: if there is no such model.

    What is printed looks like this:

        tiny/options.json,tiny/lm_weights.hdf5: pair of files
          tiny/options.json  431 bytes
          tiny/lm_weights.hdf5  139.4 KiB
          weights stored as float32
        ...
    """
    import json

    from rich.console import Console

    from keras_elmo.inspection import inspect_model

    facts = inspect_model(args.model)
    if args.json:
        print(json.dumps(facts))
        return
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 100
    _show(facts, console)


def _show(facts, console):
    def say(text="", style=None):
        console.print(text, style=style, soft_wrap=True)

    say(f"{facts['source']}: {facts['form']}", "bold")
    for file in facts["files"]:
        say(f"  {file['name']}  {_bytes(file['bytes'])}")
    say(f"  weights stored as {', '.join(facts['stored_dtypes'])}")
    if facts["layers"]:
        say()
        say("layers of the model", "bold")
        console.print(_table(facts["layers"], facts, ["name", "class"]))
    for elmo in facts["elmo_layers"]:
        say()
        say(f"{elmo['name']}: vectors of {elmo['width']}", "bold")
        for key, value in elmo["options"].items():
            say(f"  {key.replace('_', ' '):26}{_WORDS.get(str(value), value)}")
        for mix in elmo["mixes"]:
            weights = mix["layer_weights"] or []  # none where it is the top layer alone
            numbers = " ".join(f"{weight:.3f}" for weight in weights)
            say(f"  {'mix':26}{numbers or 'top layer'}, gamma {mix['gamma']:.4g}")
        console.print(
            _table(elmo["parts"], None if facts["layers"] else facts, ["name"])
        )
    if facts["notes"]:
        say()
        say("notes", "bold")
        for note in facts["notes"]:
            say(f"  {note}")


def _table(rows, total, names):
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=total is not None)
    table.add_column("part" if names == ["name"] else "layer", footer="total")
    for name in names[1:]:
        table.add_column(name)
    for title, key in [("parameters", "parameters"), ("train", "trainable_parameters")]:
        table.add_column(title, f"{total[key]:,}" if total else "", justify="right")
    table.add_column("memory", _bytes(total["bytes"]) if total else "", justify="right")
    for row in rows:
        table.add_row(
            *(row[name] for name in names),
            f"{row['parameters']:,}",
            f"{row['trainable_parameters']:,}",
            _bytes(row["bytes"]),
        )
    return table


def _bytes(count):
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
