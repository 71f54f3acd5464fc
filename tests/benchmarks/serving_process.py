"""What the benchmarks of serving share: a server process, and an export without one."""

import contextlib
import re
import subprocess
import sys

from keras_elmo.saved_model.session import open_session, read_meta_graph


@contextlib.contextmanager
def served(base, *flags):
    """`keras-elmo serve` in a process of its own; gives the address and its number."""
    command = [sys.executable, "-m", "keras_elmo", "serve", base, "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            found = re.fullmatch(r"serving \S+ version \d+ at (\S+)\n", line)
            if not found:
                sys.exit(f"{' '.join(command)}: expected an address, found {line!r}.")
            yield found[1], process.pid
        finally:
            process.terminate()


class InProcess:
    """An export in a Session of this process."""

    def __init__(self, version_folder):
        self.session = open_session(version_folder)
        self.signatures = {
            name: signature
            for name, signature in read_meta_graph(version_folder).signature_def.items()
            if not name.startswith("__")
        }

    def function(self, signature_name, outputs):
        """A function of the signature's inputs, by name, to a dict of arrays."""
        signature = self.signatures[signature_name]
        names = sorted(signature.inputs)
        call = self.session.make_callable(
            [signature.outputs[name].name for name in outputs],
            [signature.inputs[name].name for name in names],
        )

        def run(**inputs):
            arrays = call(*(inputs[name] for name in names))
            return dict(zip(outputs, arrays, strict=True))

        return run
