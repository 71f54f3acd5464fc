"""The server's text protos, as far as tests of the deployment kit need them."""

from pathlib import Path

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

KIT = Path(__file__).parents[2] / "export"
TAG = "2.20.0"
# Flags of tensorflow_model_server 2.20.0, as its main.cc has them.
FLAGS = {
    *("port", "rest_api_port", "model_config_file", "model_name", "model_base_path"),
    *("enable_batching", "batching_parameters_file", "monitoring_config_file"),
    *("ssl_config_file", "tensorflow_session_config_file", "num_load_threads"),
    *("enable_grpc_healthcheck_service", "enable_profiler"),
}
# Messages of the server that no package has, as its .proto files have them.
FIELDS = {
    "SSLConfig": [
        ("server_key", "string"),
        ("server_cert", "string"),
        ("custom_ca", "string"),
        ("client_verify", "bool"),
    ],
    "PrometheusConfig": [("enable", "bool"), ("path", "string")],
    "MonitoringConfig": [("prometheus_config", ".kit.PrometheusConfig")],
    "BatchingParameters": [
        ("max_batch_size", ".google.protobuf.Int64Value"),
        ("batch_timeout_micros", ".google.protobuf.Int64Value"),
        ("max_enqueued_batches", ".google.protobuf.Int64Value"),
        ("num_batch_threads", ".google.protobuf.Int64Value"),
        ("thread_pool_name", ".google.protobuf.StringValue"),
        ("allowed_batch_sizes", "repeated int64"),
        ("pad_variable_length_inputs", "bool"),
    ],
}


def message_classes():
    """Classes of the messages in FIELDS, built as protoc would."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="kit.proto",
        package="kit",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            repeated, _, kind = kind.rpartition(" ")
            entry = message.field.add(name=field, number=number)
            entry.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind.startswith("."):
                entry.type, entry.type_name = kinds.TYPE_MESSAGE, kind
            else:
                entry.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"kit.{name}"))
        for name in FIELDS
    }


CLASSES = message_classes()


def parse(path, message_class):
    return text_format.Parse(Path(path).read_text("utf-8"), message_class())
