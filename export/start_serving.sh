#!/bin/sh
# Start a stock TensorFlow Serving on an exported model; -h says how.
set -eu

TAG=${TAG:-2.20.0}
PORT=${PORT:-8500}

usage() {
    cat <<'END'
usage: start_serving.sh [-l] [-g] [-b BATCHING] [-p REST_PORT] [-s SSL] BASE
       start_serving.sh [-l] [-g] [-b BATCHING] [-p REST_PORT] [-s SSL] -m MODELS FOLDER
       start_serving.sh [-l] [-g] -v

  BASE          a model's base folder, which holds its versions (1, 2, ...)
  -m MODELS     serve the models that this file names; FOLDER holds their base
                folders and is seen by docker's server as /models
  -b BATCHING   batch requests as this file says
  -g            use the GPU; the server takes its memory as it needs it
  -p REST_PORT  answer REST, too, and show metrics at /monitoring/prometheus/metrics
  -s SSL        encrypt gRPC as this file says (make_ssl_config.sh writes one)
  -l            run the installed tensorflow_model_server, without docker; it
                listens on every address of this computer
  -v            print the server's version and end

environment: TAG (2.20.0), PORT (8500),
             IMAGE (tensorflow/serving:TAG, with -g tensorflow/serving:TAG-gpu)
docker publishes the ports on 127.0.0.1 only
example: sh export/start_serving.sh -g -b export/batching.pbtxt served/elmo_tiny_en
END
}

fail() {
    echo "start_serving.sh: $1" >&2
    exit 1
}

absolute() {
    echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
}

docker=yes gpu=no version=no batching='' models='' rest='' ssl='' session='' monitoring=''
while getopts hlgvb:m:p:s: option; do
    case $option in
        h) usage; exit 0 ;;
        l) docker=no ;;
        g) gpu=yes ;;
        v) version=yes ;;
        b) batching=$OPTARG ;;
        m) models=$OPTARG ;;
        p) rest=$OPTARG ;;
        s) ssl=$OPTARG ;;
        *) usage >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $gpu = no ] || TAG=$TAG-gpu
IMAGE=${IMAGE:-tensorflow/serving:$TAG}

if [ $version = yes ] && [ $# -eq 0 ]; then
    [ $docker = yes ] || exec tensorflow_model_server --version
    exec docker run --rm --entrypoint tensorflow_model_server "$IMAGE" --version
fi
if [ $# -ne 1 ] || [ $version = yes ]; then
    usage >&2
    exit 2
fi

[ -d "$1" ] || fail "$1: expected a folder, found none."
folder=$(cd "$1" && pwd)
name=$(basename "$folder")
kit=$(cd "$(dirname "$0")" && pwd)
[ $gpu = no ] || session=$kit/session.pbtxt
[ -z "$rest" ] || monitoring=$kit/monitoring.pbtxt
for file in "$batching" "$models" "$ssl" "$session" "$monitoring"; do
    [ -z "$file" ] || [ -f "$file" ] || fail "$file: expected a file, found none."
done
if [ -z "$models" ] && ! ls "$folder"/[0-9]*/saved_model.pb >/dev/null 2>&1; then
    fail "$1: expected a version, such as $1/1/saved_model.pb, found none."
fi

# The command grows in "$@": first what runs the server, then the server's flags,
# which name files as the server sees them.
if [ $docker = no ]; then
    set -- tensorflow_model_server "--port=$PORT"
    [ -z "$rest" ] || set -- "$@" "--rest_api_port=$rest"
else
    [ -n "$models" ] && inside=/models || inside=/models/$name
    # The image's own start script would pass no signal on; docker's --init does.
    set -- docker run --rm --init --publish "127.0.0.1:$PORT:8500"
    [ -z "$rest" ] || set -- "$@" --publish "127.0.0.1:$rest:8501"
    [ $gpu = no ] || set -- "$@" --gpus all
    set -- "$@" --mount "type=bind,source=$folder,target=$inside,readonly"
    folder=$inside
    for kind in models batching ssl session monitoring; do
        eval "file=\$$kind"
        [ -n "$file" ] || continue
        set -- "$@" --mount \
            "type=bind,source=$(absolute "$file"),target=/$kind.pbtxt,readonly"
        eval "$kind=/$kind.pbtxt"
    done
    set -- "$@" --entrypoint tensorflow_model_server "$IMAGE" --port=8500
    [ -z "$rest" ] || set -- "$@" --rest_api_port=8501
fi
if [ -n "$models" ]; then
    set -- "$@" "--model_config_file=$models"
else
    set -- "$@" "--model_name=$name" "--model_base_path=$folder"
fi
if [ -n "$batching" ]; then
    set -- "$@" --enable_batching=true "--batching_parameters_file=$batching"
fi
[ -z "$ssl" ] || set -- "$@" "--ssl_config_file=$ssl"
[ -z "$session" ] || set -- "$@" "--tensorflow_session_config_file=$session"
[ -z "$monitoring" ] || set -- "$@" "--monitoring_config_file=$monitoring"
# A new version loads in a thread of its own, beside the old one that answers.
set -- "$@" --num_load_threads=1
set -- "$@" --enable_grpc_healthcheck_service=true --enable_profiler=false
exec "$@"
