#!/usr/bin/env bash
# shellcheck disable=SC2034
# What all packages of rosterd are made of. Sourced, not run, by the scripts beside it, at the top of the project.
# Sets: python (the environment's), version (of pyproject.toml, the only place where it stands), abi (of the Python that the
# package is for: that of the environment), and SOURCE_DATE_EPOCH, so that the same sources give the same octets.
set -euo pipefail

python=${1:?the Python of the environment that make has prepared}
version=$("$python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
abi=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y pyproject.toml)
fi
export SOURCE_DATE_EPOCH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

runtime_lock() {  # what an installed rosterd needs, with a hash for every file
  sed '/^# --- build:/,$d' requirements.lock
}

own_wheel() {  # FOLDER: build our own wheel into it
  "$python" -m hatchling build --target wheel --directory "$1" >/dev/null 2>&1
}
