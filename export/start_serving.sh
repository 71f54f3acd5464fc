#!/bin/sh
# Start a stock TensorFlow Serving on an exported model; -h says how.
set -eu

IMAGE=${IMAGE:-tensorflow/serving:2.20.0}
PORT=${PORT:-8500}

usage() {
    cat <<'END'
usage: start_serving.sh [-l] [-b BATCHING] BASE
       start_serving.sh [-l] [-b BATCHING] -m MODELS FOLDER

  BASE         a model's base folder, which holds its versions (1, 2, ...)
  -m MODELS    serve the models that this file names; FOLDER holds their base
               folders and is seen by docker's server as /models
  -b BATCHING  batch requests as this file says
  -l           run the installed tensorflow_model_server, without docker; it
               listens on every address of this computer

environment: IMAGE (tensorflow/serving:2.20.0), PORT (8500)
docker publishes the port on 127.0.0.1 only
example: sh export/start_serving.sh -b export/batching.pbtxt served/elmo_tiny_en
END
}

fail() {
    echo "start_serving.sh: $1" >&2
    exit 1
}

absolute() {
    echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
}

docker=yes batching='' models=''
while getopts hlb:m: option; do
    case $option in
        h) usage; exit 0 ;;
        l) docker=no ;;
        b) batching=$OPTARG ;;
        m) models=$OPTARG ;;
        *) usage >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if [ $# -ne 1 ]; then
    usage >&2
    exit 2
fi

[ -d "$1" ] || fail "$1: expected a folder, found none."
folder=$(cd "$1" && pwd)
name=$(basename "$folder")
for file in "$batching" "$models"; do
    [ -z "$file" ] || [ -f "$file" ] || fail "$file: expected a file, found none."
done
if [ -z "$models" ] && ! ls "$folder"/[0-9]*/saved_model.pb >/dev/null 2>&1; then
    fail "$1: expected a version, such as $1/1/saved_model.pb, found none."
fi

# The command grows in "$@": first what runs the server, then the server's flags,
# which name files as the server sees them.
if [ $docker = no ]; then
    set -- tensorflow_model_server "--port=$PORT"
else
    [ -n "$models" ] && inside=/models || inside=/models/$name
    # The image's own start script would pass no signal on; docker's --init does.
    set -- docker run --rm --init --publish "127.0.0.1:$PORT:8500" \
        --mount "type=bind,source=$folder,target=$inside,readonly"
    folder=$inside
    if [ -n "$models" ]; then
        set -- "$@" --mount \
            "type=bind,source=$(absolute "$models"),target=/models.pbtxt,readonly"
        models=/models.pbtxt
    fi
    if [ -n "$batching" ]; then
        set -- "$@" --mount \
            "type=bind,source=$(absolute "$batching"),target=/batching.pbtxt,readonly"
        batching=/batching.pbtxt
    fi
    set -- "$@" --entrypoint tensorflow_model_server "$IMAGE" --port=8500
fi
if [ -n "$models" ]; then
    set -- "$@" "--model_config_file=$models"
else
    set -- "$@" "--model_name=$name" "--model_base_path=$folder"
fi
if [ -n "$batching" ]; then
    set -- "$@" --enable_batching=true "--batching_parameters_file=$batching"
fi
exec "$@"
