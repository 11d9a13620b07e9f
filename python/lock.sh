#!/bin/sh
# Makes the locks again from the .in files. Needs uv. Run it from any folder; then run the tests.
# The optional engines have a lock each, so that one that does not install takes nothing with it; what they share with
# requirements.lock has the version of that lock.
set -eu
cd "$(dirname "$0")"
unset PIP_FIND_LINKS UV_FIND_LINKS || true
lock() {
    name=$1
    shift
    uv pip compile --no-python-downloads --universal --generate-hashes --python-version 3.10 --upgrade \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        --no-emit-package colorama --no-emit-package httpx2-jsfetch \
        "$@" "$name.in" --output-file "$name.lock" >/dev/null
}
lock requirements
lock requirements-dev
lock http2
for engine in optional/*.in; do
    lock "${engine%.in}" --constraint requirements.lock
done
