#!/bin/sh
# Write the SSL settings of TensorFlow Serving from PEM files; see ssl.pbtxt.
set -eu

usage() {
    cat <<'END'
usage: make_ssl_config.sh OUT KEY CERT [CLIENT_CA]

  OUT        file to write, for start_serving.sh -s; holds the key, so that only
             you may read it
  KEY        the server's private key, PEM
  CERT       the server's certificate, PEM, with its intermediates
  CLIENT_CA  serve only clients with a certificate of this authority, PEM

example: sh export/make_ssl_config.sh ssl.pbtxt server.key server.crt
END
}

fail() {
    echo "make_ssl_config.sh: $1" >&2
    exit 1
}

# A field whose value is a file: one string a line, which the server joins.
field() {
    grep -q -- "-----BEGIN .*$3-----" "$2" || fail "$2: expected a PEM $3, found none."
    echo "$1:"
    tr -d '\r' <"$2" | sed 's/["\\]/\\&/g; s/.*/  "&\\n"/'
}

if [ "${1-}" = -h ]; then
    usage
    exit 0
fi
if [ $# -lt 3 ] || [ $# -gt 4 ]; then
    usage >&2
    exit 2
fi
out=$1 key=$2 cert=$3 ca=${4-}
for file in "$key" "$cert" "$ca"; do
    [ -z "$file" ] || [ -f "$file" ] || fail "$file: expected a file, found none."
done
umask 077
trap 'rm -f "$out.part"' EXIT
{
    field server_key "$key" 'PRIVATE KEY'
    field server_cert "$cert" CERTIFICATE
    if [ -n "$ca" ]; then
        field custom_ca "$ca" CERTIFICATE
        echo 'client_verify: true'
    fi
} >"$out.part"
mv "$out.part" "$out"
