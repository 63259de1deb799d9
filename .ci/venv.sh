#!/usr/bin/env bash
# Make a virtual environment with a Python that rosterd runs on, or say in one sentence what is missing.
# Usage: .ci/venv.sh FOLDER        PYTHON=/path/to/python3 chooses the interpreter
set -euo pipefail
folder=${1:?the folder to make}
candidates=${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}

new_enough() { command -v "$1" >/dev/null && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
complete() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }  # Debian and Ubuntu keep ensurepip in a package of its own
version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

first() {  # TEST...: the first candidate that passes every test
  local name check
  for name in $candidates; do
    for check in "$@"; do "$check" "$name" || continue 2; done
    echo "$name" && return
  done
  return 1
}

install() {  # WHY PACKAGE...: as root, or by a sudo that asks for no password; else say what to do
  local why=$1 sudo=()
  shift
  [ "$(id -u)" = 0 ] || sudo=(sudo -n)
  if command -v apt-get >/dev/null && "${sudo[@]}" true 2>/dev/null; then
    echo "rosterd: $why: installing $* (apt-get)" >&2
    "${sudo[@]}" apt-get update -q >/dev/null
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null
  else
    echo "rosterd: $why. As root: apt-get install $*   and then run make again." >&2
    exit 1
  fi
}

if ! first new_enough >/dev/null; then
  install "needs Python 3.11 or newer, and finds none" python3 python3-venv
elif ! python=$(first new_enough complete); then
  python=$(first new_enough)
  install "$python has no ensurepip, so it cannot make a virtual environment" "python$(version "$python")-venv"
fi
python=$(first new_enough complete) || {
  echo "rosterd: still finds no complete Python 3.11 or newer; name one: make PYTHON=/path/to/python3 …" >&2
  exit 1
}
echo "rosterd: making $folder with Python $(version "$python")" >&2
"$python" -m venv --clear "$folder"
