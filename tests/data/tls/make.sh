#!/bin/sh
# Makes the certificates of the tests: an authority, a server and a client under it.
set -eu
cd "$(dirname "$0")"
DAYS=36500
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days $DAYS \
  -keyout ca.key -out ca.pem -subj "/CN=keras_elmo tests"
for name in server client; do
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -keyout $name.key -out $name.csr -subj "/CN=$name"
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' > $name.ext
  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
    -days $DAYS -extfile $name.ext -out $name.pem
done
rm -f ./*.csr ./*.ext ./*.srl ca.key
