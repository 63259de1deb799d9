#!/usr/bin/env bash
# Install the programs that the tests run for real (OpenLDAP, Samba, curl …), without starting or enabling any of them.
# Does nothing when all are there; packages named as arguments come too. Needs apt-get and root, or a sudo that asks for no password.
# `building PYTHON` installs instead what it takes to build the one Python package that comes as source only (gssapi).
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }  # COMMAND PACKAGE
need_servers() {
  need slapd slapd
  need ldapsearch ldap-utils
  need ns-slapd 389-ds-base
  need curl curl
  need openssl openssl
  need nginx nginx
  need systemd-analyze systemd
  need dash dash
  need original-awk original-awk
  need busybox busybox
  need shellcheck shellcheck
  need samba samba-ad-dc
  provision=/usr/share/samba/setup/provision.ldif
  [ -e $provision ] || packages+=(samba-ad-provision)
  need chromium chromium
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || need initdb postgresql
  compgen -G '/usr/lib/*/sasl2/libgssapiv2.so' >/dev/null || packages+=(libsasl2-modules-gssapi-mit)
}
need_to_build() {  # PYTHON
  need cc gcc
  need krb5-config libkrb5-dev
  "$1" -c 'import pathlib, sysconfig as s; pathlib.Path(s.get_path("include"), "Python.h").stat()' 2>/dev/null || packages+=(python3-dev)
}
if [ "${1:-}" = building ]; then need_to_build "$2" && shift 2; else need_servers; fi
for package in "$@"; do dpkg -s "$package" >/dev/null 2>&1 || packages+=("$package"); done
[ ${#packages[@]} = 0 ] && exit 0

if [ "$(id -u)" = 0 ]; then sudo=(); else sudo=(sudo -n); fi
if ! command -v apt-get >/dev/null || ! "${sudo[@]}" true 2>/dev/null; then
  echo "The tests run real servers. As root: apt-get install ${packages[*]}   and then run make test again." >&2
  exit 1
fi

exec {lock}<"$0" && flock $lock  # `make test` installs servers while it makes its environment; apt-get suffers only one
echo "Installing ${packages[*]} (apt-get); nothing is started."
policy=/usr/sbin/policy-rc.d  # exit status 101 = packages may not start their services
if ! [ -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee $policy >/dev/null
  "${sudo[@]}" chmod 755 $policy
  trap '"${sudo[@]}" rm -f $policy' EXIT
fi
if [[ " ${packages[*]} " == *" slapd "* ]] && command -v debconf-set-selections >/dev/null; then
  echo "slapd slapd/no_configuration boolean true" | "${sudo[@]}" debconf-set-selections  # no directory of its own
fi
"${sudo[@]}" apt-get update -q >/dev/null
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >/dev/null
for service in slapd nginx postgresql; do
  if [ -d /run/systemd/system ] && [[ " ${packages[*]} " == *" $service "* ]]; then
    "${sudo[@]}" systemctl disable -q $service 2>/dev/null || true
  fi
done
