#!/usr/bin/env bash
# Build the archive for machines that can download nothing: every wheel, their hashes, pip itself, the units and an installer.
# `make wheelhouse` calls it. Usage: packaging/build-wheelhouse.sh PYTHON OUTPUT      It is for the Python that PYTHON is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=packaging/collect.sh
. packaging/collect.sh "${1:?the Python of the environment}"
output=${2:?the folder to put the archive into}
mkdir -p "$output"
output=$(cd "$output" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=rosterd-$version-wheelhouse-py$abi-$(uname -m)
house=$work/$name
umask 022

mkdir -p "$house/wheels"
runtime_lock > "$work/runtime.lock"
"$python" -m pip download -q --no-deps --only-binary=:all: --require-hashes --dest "$house/wheels" -r "$work/runtime.lock"
own_wheel "$house/wheels"
(
  cd "$house/wheels"
  echo "# Made by build-wheelhouse.sh: exactly the wheels beside this file."
  for wheel in *.whl; do
    distribution=$(echo "$wheel" | cut -d- -f1)
    echo "$distribution==$(echo "$wheel" | cut -d- -f2) --hash=sha256:$(sha256sum "$wheel" | cut -d' ' -f1)"
  done
) > "$house/requirements.txt"

# pip as one file, so that the machine needs none.
mkdir "$work/pip"
cp -r "$("$python" -c 'import pathlib, pip; print(pathlib.Path(pip.__file__).parent)')" "$work/pip/pip"
find "$work/pip" -name __pycache__ -prune -exec rm -rf {} +
printf 'import sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n' > "$work/pip/__main__.py"
find "$work/pip" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
"$python" -m zipapp "$work/pip" --compress --output "$house/pip.pyz"

install -m 0755 packaging/wheelhouse/install.sh "$house/install.sh"
install -m 0644 -t "$house" packaging/wheelhouse/README LICENSE CHANGELOG.md config.example.toml
install -D -m 0644 -t "$house/systemd" systemd/*
echo "$abi" > "$house/python-version"

archive=$output/$name.tar.gz
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$work" -c "$name" | gzip -n > "$archive"
echo "$archive: $(($(stat -c %s "$archive") / 1024)) KiB, $(find "$house/wheels" -name '*.whl' | wc -l) wheels"
