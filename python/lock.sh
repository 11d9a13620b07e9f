#!/bin/sh
# Makes the two locks again from the .in files. Needs uv. Run it from any folder; then run the tests.
set -eu
cd "$(dirname "$0")"
unset PIP_FIND_LINKS UV_FIND_LINKS || true
for name in requirements requirements-dev; do
    uv pip compile --no-python-downloads --universal --generate-hashes --python-version 3.10 --upgrade \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        --no-emit-package colorama --no-emit-package httpx2-jsfetch \
        "$name.in" --output-file "$name.lock" >/dev/null
done
