"""The stock server's configuration files: protobuf messages written as text.

The messages are not in any Python package, so their classes are made here from a list
of fields. In text a field goes by its name alone; its number means nothing.
"""

import os
from pathlib import Path

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from keras_elmo.errors import FormatError

_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bool": _FIELD.TYPE_BOOL,
    "int64": _FIELD.TYPE_INT64,
    "string": _FIELD.TYPE_STRING,
}


def message_class(name: str, fields: dict[str, str]):
    """Make the class of a protobuf message.

    Args:
        name: Its name.
        fields: Type of each field: `bool`, `int64`, `string`, `repeated int64`, or a
            message that wraps one value, such as `Int64Value`.

    Returns:
        A class of messages.

    >>> message_class("Point", {"x": "int64"})(x=3).x
    3
    """
    pool = descriptor_pool.DescriptorPool()
    wrappers = wrappers_pb2.DESCRIPTOR
    pool.AddSerializedFile(wrappers.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto", syntax="proto3", dependency=[wrappers.name]
    )
    message = file.message_type.add(name=name)
    for number, (field, kind) in enumerate(fields.items(), start=1):
        added = message.field.add(name=field, number=number, label=1)
        if kind.startswith("repeated "):
            added.label = _FIELD.LABEL_REPEATED
        kind = kind.removeprefix("repeated ")
        if kind in _TYPES:
            added.type = _TYPES[kind]
        else:
            added.type = _FIELD.TYPE_MESSAGE
            added.type_name = f".google.protobuf.{kind}"
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def read_text_config(path: str | os.PathLike, message_type):
    """Read a message from a text file.

    Args:
        path: The file.
        message_type: What `message_class` returned.

    Returns:
        The message.

    Raises:
        FormatError: if the text does not fit the message; names file, line and column.
        OSError: if the file can not be read.

    >>> _ = Path("point.pbtxt").write_text("x: 3")
    >>> read_text_config("point.pbtxt", message_class("Point", {"x": "int64"})).x
    3
    """
    try:
        return text_format.Parse(Path(path).read_text("utf-8"), message_type())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise FormatError(
            f"{os.fspath(path)}: expected a {message_type.DESCRIPTOR.name} as protobuf "
            f"text, found: {error}."
        ) from error
