"""The command `keras-elmo query`."""

import argparse
import io
import json

import pytest

from keras_elmo.cli import main, query, serve
from keras_elmo.errors import FormatError
from keras_elmo.serving import ServingError
from tests.serving.toy_service import FLOAT, SIGNATURES, ToyService, serving


@pytest.fixture
def ask(server, capsys):
    def run(*arguments):
        parser = argparse.ArgumentParser()
        query.add_parser(parser.add_subparsers())
        args = parser.parse_args(["query", server.address, *arguments, "--model=toy"])
        args.run(args)
        return capsys.readouterr().out

    return run


def test_words_stand_beside_their_vectors(ask, client):
    first, second = client.embed(["a cat"])[0]
    assert ask("a cat", "") == (
        "a cat  (2, 32)\n"
        f"  a    {first[0]:7.4f} {first[1]:7.4f} {first[2]:7.4f} ...\n"
        f"  cat  {second[0]:7.4f} {second[1]:7.4f} {second[2]:7.4f} ...\n"
        "  (0, 32)\n"
    )


def test_both_signatures_print_the_same(ask):
    assert ask("a cat", "--signature", "tokens") == ask("a cat")


def test_another_output_can_be_printed(ask, client):
    vector = client.embed(["a cat"], "default")[0]
    first = " ".join(f"{x:7.4f}" for x in vector[:3])
    assert ask("a cat", "--output=default") == f"a cat  (32,)\n  {first} ...\n"
    assert ask("a cat", "--output=lengths") == "a cat  ()\n  2\n"


@pytest.fixture
def service():
    return ToyService()


@pytest.fixture
def ask_toy(service, capsys):
    """As `ask`, of a model with labels, and by the whole command."""
    with serving(service) as address:

        def run(*arguments):
            assert main(["query", address, *arguments, "--model=toy"]) == 0
            return capsys.readouterr().out

        yield run


def without_elmo(service):
    for name, (inputs, outputs) in SIGNATURES.items():
        kept = {key: value for key, value in outputs.items() if key != "elmo"}
        service.signatures[name] = inputs, kept


@pytest.mark.parametrize("signature", ["default", "tokens", "text"])
def test_a_taggers_labels_stand_beside_the_words(ask_toy, service, signature):
    without_elmo(service)
    service.longer_by = 2
    found = ask_toy("my cats", "", "--signature", signature)
    assert found == "my cats  (2,)\n  my    SHORT\n  cats  LONG\n  (0,)\n"


def test_words_of_raw_text_are_the_servers(ask_toy):
    found = ask_toy("Cats, cats.", "--signature=text", "--output=labels")
    lines = [line.split() for line in found.splitlines()[1:]]
    assert lines == [["Cats", "LONG"], [",", "SHORT"], ["cats", "LONG"], [".", "SHORT"]]
    found = json.loads(ask_toy("Cats.", "--signature=text", "--json"))["sentences"][0]
    assert (found["tokens"], found["shape"]) == (["Cats", "."], [2, 3])
    only = ask_toy("Hi .", "--signature=text", "--output=words")
    assert only == "Hi .  (2,)\n  Hi  Hi\n  .   .\n"


def test_a_classifiers_scores_are_printed_whole(ask_toy, service):
    outputs = {"scores": (FLOAT, [-1, 2])}
    service.signatures["default"] = SIGNATURES["default"][0], outputs
    assert ask_toy("hi") == "hi  (2,)\n   1.0000  2.0000\n"
    assert ask_toy("hi", "--output=kind") == "hi  ()\n  one\n"


def test_labels_are_strings_in_json_too(ask_toy):
    found = json.loads(ask_toy("my cats", "--output=labels", "--json"))
    (sentence,) = found["sentences"]
    assert sentence == {
        "tokens": ["my", "cats"],
        "shape": [2],
        "vectors": ["SHORT", "LONG"],
    }


def test_words_that_only_the_model_tells_apart_are_numbered(ask_toy, service):
    def change(response):
        response.outputs["lengths"].int_val[:] = [1]
        return response

    service.change = change
    assert ask_toy("my cats", "--output=labels") == "my cats  (1,)\n  0  SHORT\n"


def test_versions_have_a_line_each(ask_toy, service):
    service.statuses = [(1, "END", "no such op"), (2, "AVAILABLE", "")]
    assert ask_toy("--status") == "version 2  AVAILABLE\nversion 1  END  no such op\n"
    assert json.loads(ask_toy("--status", "--json")) == {
        "model": "toy",
        "versions": [
            {"version": 2, "state": "AVAILABLE", "error": ""},
            {"version": 1, "state": "END", "error": "no such op"},
        ],
    }
    assert service.requests == []


def test_a_signature_that_the_model_has_not_is_an_error(service, capsys):
    del service.signatures["text"]
    with serving(service) as address:
        command = ["query", address, "hi", "--model=toy", "--signature=text"]
        assert main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"keras-elmo: {address}, model toy: expected a signature ")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--tls-key=x", "--tls-cert=y"], "expected --tls-ca, too"),
        (["--tls-server-name=x"], "expected --tls-ca, too"),
        (["--tls-ca=x", "--tls-key=y"], "expected both, received one"),
        (["--timeout=0"], "expected a number > 0, received '0'"),
        (["--signature=char_ids"], "invalid choice"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(options, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["query", "127.0.0.1:1", "hi", *options])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_json_is_one_object_with_all_numbers(ask, client):
    found = json.loads(ask("a cat", "hi", "--json"))
    assert (found["model"], found["output"]) == ("toy", "elmo")
    assert [s["tokens"] for s in found["sentences"]] == [["a", "cat"], ["hi"]]
    for sentence, array in zip(
        found["sentences"], client.embed(["a cat", "hi"]), strict=True
    ):
        assert sentence["shape"] == list(array.shape)
        assert sentence["vectors"] == array.tolist()


def test_without_arguments_lines_of_standard_input_are_asked(ask, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a cat\nhi"))
    assert ask() == ask("a cat", "hi")


def test_words_are_told_apart_as_the_model_does(ask):
    assert ask("a\u00a0cat b").splitlines()[1].startswith("  a\u00a0cat  ")


def test_text_that_is_not_utf8_is_an_error(ask):
    with pytest.raises(FormatError, match="expected UTF-8"):
        ask("a \udcff")


def test_a_refusal_is_a_serving_error(ask):
    with pytest.raises(ServingError, match="output tensor alias not found"):
        ask("a cat", "--output=nothing")


@pytest.mark.parametrize("module", [query, serve])
def test_help_ends_with_an_example(module, capsys):
    parser = argparse.ArgumentParser()
    module.add_parser(parser.add_subparsers())
    with pytest.raises(SystemExit, match="0"):
        parser.parse_args([module.__name__.rpartition(".")[2], "-h"])
    assert "example: keras-elmo" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options_at", [0, 1, 2], ids=["before", "between", "behind the sentences"]
)
def test_options_may_stand_anywhere(server, capsys, options_at):
    words = [server.address, "a cat"]
    words[options_at:options_at] = ["--model", "toy", "--json"]
    assert main(["query", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [s["tokens"] for s in found["sentences"]] == [["a", "cat"]]


def test_an_unknown_option_is_wrong_usage(server):
    with pytest.raises(SystemExit) as caught:
        main(["query", server.address, "a cat", "--no-such-option"])
    assert caught.value.code == 2


@pytest.mark.parametrize("port", ["-5", "65536", "eight"])
def test_serve_takes_a_port_and_nothing_else(port, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["serve", "elmo_tiny_en", f"--port={port}"])
    assert caught.value.code == 2
    assert "expected an int from 0 to 65535" in capsys.readouterr().err
