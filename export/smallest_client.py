"""Ask a model server for ELMo vectors, with grpcio and tensorflow-serving-api alone.

python smallest_client.py 127.0.0.1:8500 elmo_tiny_en "The cat sat ." "Hello"
"""

import array
import sys

import grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

address, model, *sentences = sys.argv[1:]
request = predict_pb2.PredictRequest(output_filter=["elmo", "lengths"])
request.model_spec.name = model
request.model_spec.signature_name = "default"
request.inputs["strings"].dtype = 7  # DT_STRING
request.inputs["strings"].tensor_shape.dim.add(size=len(sentences))
request.inputs["strings"].string_val.extend(s.encode() for s in sentences)

options = [("grpc.max_receive_message_length", -1)]  # gRPC's own limit is 4 MiB.
with grpc.insecure_channel(address, options=options) as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    outputs = stub.Predict(request, timeout=60).outputs

elmo = outputs["elmo"]  # (sentences, words of the longest, width)
_, words, width = (dim.size for dim in elmo.tensor_shape.dim)
# A server writes values in one of two ways.
values = elmo.float_val or array.array("f", elmo.tensor_content)
lengths = outputs["lengths"].int_val or array.array(
    "i", outputs["lengths"].tensor_content
)
for row, (sentence, length) in enumerate(zip(sentences, lengths, strict=True)):
    print(f"{sentence}  ({length}, {width})")
    for word in range(length):
        start = (row * words + word) * width
        print(" ", *(f"{x:.4f}" for x in values[start : start + 3]), "...")
