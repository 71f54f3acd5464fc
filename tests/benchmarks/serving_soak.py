"""Minutes of mixed load on `keras-elmo serve`: no wrong answer, none lost, flat memory.

    python -m tests.benchmarks.serving_soak SENTENCES [--minutes 10]

The preset is served with batching by a process of its own. Threads send it requests of
many shapes, to all signatures and with several output filters; each answer is compared
with that of the same export in this process, for the version that the reply names, to
2e-5. Among them are wrong requests, which have to get their status codes, requests with
a deadline that is too short, and bytes on the port that are no gRPC. Half way a second
version with other weights appears. The server's resident memory is sampled; between the
warm-up and the swap, and from after the swap to the end, it may grow by `--growth`
MiB. Prints a summary; ends with code 1 if anything is wrong.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import socket
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import keras
import numpy as np
from tensorflow_serving.apis import prediction_service_pb2_grpc

import keras_elmo
from tests.benchmarks.serving_process import InProcess, served
from tests.benchmarks.soak_requests import TOLERANCE, right_requests, wrong_requests

MODEL = "elmo_tiny_en"
MAX_MESSAGE_BYTES = 8 * 2**20
BATCHING = """
max_batch_size { value: 16 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 64 }
num_batch_threads { value: 2 }
allowed_batch_sizes: 4
allowed_batch_sizes: 16
pad_variable_length_inputs: true
"""
# A request that is late in the queue gets the second, as a stock server's batcher says;
# its client sees that only where the answer is faster than its own clock.
LATE = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sentences", metavar="SENTENCES", help="file, one a line")
    parser.add_argument("--minutes", type=float, default=10.0, help="(10)")
    parser.add_argument("--threads", type=int, default=12, help="of requests (12)")
    parser.add_argument(
        "--requests", type=int, default=400, help="different ones (400)"
    )
    parser.add_argument(
        "--growth", type=float, default=32.0, help="MiB in half the time (32)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


class Soak:
    """The counts of all threads, and when they end."""

    def __init__(self, address, right, wrong, seconds):
        self.address = address
        self.right = right
        self.wrong = list(wrong.items())
        self.end = time.monotonic() + seconds
        self.counts = collections.Counter()
        self.by_version = collections.Counter()
        self.faults = []
        self.lock = threading.Lock()

    def fault(self, text):
        with self.lock:
            self.faults.append(text)

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def send_requests(self, seed):
        """One thread: a request after the other, most of them right."""
        rng = random.Random(seed)
        with grpc.insecure_channel(self.address, options=OPTIONS) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while time.monotonic() < self.end:
                kind = rng.random()
                if kind < 0.85:
                    self.send_right(stub, rng.choice(self.right))
                elif kind < 0.97:
                    self.send_wrong(stub, *rng.choice(self.wrong))
                else:
                    self.send_late(
                        stub, rng.choice(self.right), rng.uniform(1e-4, 0.02)
                    )

    def send_right(self, stub, right):
        self.count("right requests")
        try:
            reply = stub.Predict(right.request, timeout=60)
        except grpc.RpcError as error:
            self.fault(f"lost: {right.name}: {error.code().name}: {error.details()}")
            return
        fault = right.fault(reply)
        if fault:
            self.fault(f"wrong: {fault}")
        with self.lock:
            self.by_version[reply.model_spec.version.value] += 1

    def send_wrong(self, stub, name, request_and_code):
        request, code = request_and_code
        self.count("wrong requests")
        try:
            stub.Predict(request, timeout=60)
            found, text = None, ""
        except grpc.RpcError as error:
            found, text = error.code(), error.details()
        if found != code:
            self.fault(f"code: {name}: {found} ({text}), expected {code}")
        elif code and not text:
            self.fault(f"code: {name}: {found} without a text")

    def send_late(self, stub, right, seconds):
        self.count("short deadlines")
        try:
            fault = right.fault(stub.Predict(right.request, timeout=seconds))
            if fault:
                self.fault(f"wrong: {fault}")
        except grpc.RpcError as error:
            if error.code() not in LATE:
                self.fault(f"code: short deadline: {error.code()}")

    def send_garbage(self):
        """Bytes that are no gRPC, a second apart; and a client that says nothing."""
        rng = random.Random(0)
        starts = [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / "]
        host, _, port = self.address.rpartition(":")
        with socket.create_connection((host, int(port))):
            while time.monotonic() < self.end:
                garbage = rng.choice(starts) + rng.randbytes(rng.randrange(4096))
                with contextlib.suppress(ConnectionError):  # the right thing to get
                    with socket.create_connection((host, int(port))) as connection:
                        connection.sendall(garbage)
                self.count("garbage")
                time.sleep(1)


def resident_mib(process_id):
    with open(f"/proc/{process_id}/status") as file:
        (line,) = (line for line in file if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def export_versions(base, second):
    """The preset as version 1, and outside the base folder version 2 with noise."""
    model = keras_elmo.ElmoLayer.from_preset(MODEL)
    keras_elmo.export_saved_model(model, base)
    rng = np.random.default_rng(1)
    for variable in model.variables:
        noise = 0.05 * rng.standard_normal(variable.shape)
        variable.assign(variable + noise.astype("float32"))
    keras_elmo.export_saved_model(model, second, version=2)


def growths(samples, warmup, swap, settle):
    """MiB by which the median rose from the first to the last third of each half."""
    found = {}
    for name, start, end in (
        ("before the swap", warmup, swap),
        ("after the swap", swap + settle, float("inf")),
    ):
        half = [mib for seconds, mib in samples if start <= seconds < end]
        third = max(1, len(half) // 3)
        found[name] = float(np.median(half[-third:]) - np.median(half[:third]))
    return found


def run(args, folder):
    """The soak itself; returns its facts."""
    base = os.path.join(folder, MODEL)
    second = os.path.join(folder, "second")
    export_versions(base, second)
    versions = {
        1: InProcess(os.path.join(base, "1")),
        2: InProcess(os.path.join(second, "2")),
    }
    with open(args.sentences, encoding="utf-8") as file:
        sentences = [line for line in (line.strip() for line in file) if line]
    right = right_requests(MODEL, sentences, versions, args.requests)
    batching = os.path.join(folder, "batching.pbtxt")
    with open(batching, "w") as file:
        file.write(BATCHING)
    flags = ["--batching-parameters-file", batching]
    flags += ["--max-message-bytes", str(MAX_MESSAGE_BYTES)]
    seconds = 60 * args.minutes
    warmup, swap, settle = 0.15 * seconds, 0.5 * seconds, 0.1 * seconds
    with served(base, *flags) as (address, process_id):
        wrong = wrong_requests(MODEL, MAX_MESSAGE_BYTES)
        soak = Soak(address, right, wrong, seconds)
        begin = time.monotonic()
        pool = ThreadPoolExecutor(args.threads + 1)
        tasks = [pool.submit(soak.send_requests, i) for i in range(args.threads)]
        tasks.append(pool.submit(soak.send_garbage))
        samples, swapped = [], False
        while not all(task.done() for task in tasks):
            now = time.monotonic() - begin
            samples.append((now, resident_mib(process_id)))
            if not swapped and now >= swap:
                os.rename(os.path.join(second, "2"), os.path.join(base, "2"))
                swapped = True
            time.sleep(min(1.0, seconds / 100))
        for task in tasks:
            task.result()  # raises what the thread raised
        late = Soak(address, right, wrong, 0)
        with grpc.insecure_channel(address, options=OPTIONS) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            for request in right:
                late.send_right(stub, request)
    faults = soak.faults + late.faults
    if set(soak.by_version) != {1, 2} or set(late.by_version) != {2}:
        faults.append(
            f"versions: {dict(soak.by_version)}, at the end {late.by_version}"
        )
    growth = growths(samples, warmup, swap, settle)
    for when, mib in growth.items():
        if mib > args.growth:
            faults.append(f"memory: {mib:.1f} MiB more {when}")
    memory = [mib for _, mib in samples]
    return {
        "minutes": args.minutes,
        **soak.counts,
        "answers_by_version": dict(sorted(soak.by_version.items())),
        "tolerance": TOLERANCE,
        "memory_mib": {
            "after_warmup": round(next(m for s, m in samples if s >= warmup), 1),
            "end": round(memory[-1], 1),
            "max": round(max(memory), 1),
            "growth": {when: round(mib, 1) for when, mib in growth.items()},
            "course": [round(mib) for mib in memory[:: max(1, len(memory) // 40)]],
        },
        "faults": collections.Counter(fault.split(":")[0] for fault in faults),
        "first_faults": faults[:10],
    }


def main():
    args = build_parser().parse_args()
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        facts = run(args, folder)
    if args.json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name.replace('_', ' ')}: {value}")
        print("WRONG" if facts["faults"] else "all answers right, none lost")
    return 1 if facts["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
