"""The calls that the server answers: PredictionService and ModelService."""

import functools
import time

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from keras_elmo.serving.calls import Call
from keras_elmo.serving.checks import (
    RequestError,
    asked_version,
    check_has_model_spec,
    check_metadata_fields,
    check_model,
    not_served,
)
from keras_elmo.serving.examples import classify, regress
from keras_elmo.serving.predict import DEFAULT, predict
from keras_elmo.serving.versions import Versions

_MAX_TEXT = 1024
_LONG = 1e6  # seconds; gRPC's word for no deadline is a far one


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Inference and metadata, for one model.

    Args:
        name: The model's name.
        versions: Its `Versions`.
        runner: `DirectRunner` or `Batcher`.

    >>> service = PredictionService("elmo", versions, runner)
    """

    def __init__(self, name: str, versions: Versions, runner):
        self.name = name
        self.versions = versions
        self.runner = runner

    def Predict(self, request, context):
        return _answer(self._infer, predict, request, context)

    def Classify(self, request, context):
        return _answer(self._infer, classify, request, context)

    def Regress(self, request, context):
        return _answer(self._infer, regress, request, context)

    def MultiInference(self, request, context):
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            "This development server does not answer MultiInference; call Classify "
            "and Regress, or use TensorFlow Serving.",
        )

    def GetModelMetadata(self, request, context):
        return _answer(self._metadata, request, context)

    def _infer(self, answer, request, context):
        check_has_model_spec(request)
        check_model(request.model_spec, self.name)
        with self.versions.lease(asked_version(request.model_spec)) as leased:
            version, model = leased
            if model is None:
                raise not_served(request.model_spec)
            compute = functools.partial(self.runner.run, model, call=_call(context))
            response = answer(request, model.signatures, compute)
        self._name_model(response, version)
        response.model_spec.signature_name = (
            request.model_spec.signature_name or DEFAULT
        )
        return response

    def _metadata(self, request, context):
        check_has_model_spec(request)
        check_metadata_fields(request.metadata_field)
        check_model(request.model_spec, self.name)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self.versions.lease(asked_version(request.model_spec)) as leased:
            version, model = leased
            if model is None:
                raise not_served(request.model_spec)
            response.metadata["signature_def"].Pack(
                get_model_metadata_pb2.SignatureDefMap(signature_def=model.signatures)
            )
        self._name_model(response, version)
        return response

    def _name_model(self, response, version):
        response.model_spec.name = self.name
        response.model_spec.version.value = version


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """The states of a model's versions.

    Args:
        name: The model's name.
        versions: Its `Versions`.

    >>> service = ModelService("elmo", versions)
    """

    def __init__(self, name: str, versions: Versions):
        self.name = name
        self.versions = versions

    def GetModelStatus(self, request, context):
        return _answer(self._status, request, context)

    def HandleReloadConfigRequest(self, request, context):
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            "This development server serves one model and follows its folder; to "
            "reload a list of models is what TensorFlow Serving does.",
        )

    def _status(self, request, context):
        check_has_model_spec(request)
        spec = request.model_spec
        asked = asked_version(spec)
        found = self.versions.statuses() if spec.name == self.name else []
        if asked is not None:
            found = [status for status in found if status.version == asked]
        if not found:
            what = "any versions" if asked is None else f"version {asked}"
            raise RequestError(
                grpc.StatusCode.NOT_FOUND, f"Could not find {what} of model {spec.name}"
            )
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=found)


def _call(context):
    """What is left of the client's time: as in the stock server, the model's too."""
    remaining = context.time_remaining()
    if remaining is None or remaining > _LONG:
        return Call(is_active=context.is_active)
    return Call(time.monotonic() + remaining, context.is_active)


def _answer(method, *args):
    """Turn whatever happens to one request into its answer or its status."""
    context = args[-1]
    try:
        if not context.is_active():
            raise RequestError(grpc.StatusCode.DEADLINE_EXCEEDED, "Too late.")
        return method(*args)
    except RequestError as error:
        code, text = error.code, error.text
    except Exception as error:
        code, text = grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "...TRUNCATED"
    context.abort(code, text)
