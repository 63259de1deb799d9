#!/usr/bin/env bash
# Make a clean Debian 12 with systemd as its first process, slapd to read from and a PostgreSQL, once, and print where it is.
# It is kept outside the project: $ROSTERD_ROOTFS, else below $XDG_CACHE_HOME or /var/cache. Packages come from where this machine's own do.
set -euo pipefail

suite=bookworm
packages=systemd,systemd-sysv,dbus,libpam-systemd,procps,python3,ca-certificates,slapd,ldap-utils,postgresql,python3-gssapi
folder=${ROSTERD_ROOTFS:-${XDG_CACHE_HOME:-/var/cache}/rosterd-tests}
ready=$folder/$suite-$(echo "$packages" | md5sum | cut -c1-8)
if [ ! -d "$ready" ]; then
  # shellcheck disable=SC2016
  mirror=${ROSTERD_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' "Created-By: Packages" "Codename: $suite" | head -1)}
  if [ -z "$mirror" ]; then
    echo "This machine's apt knows no Debian $suite. Name one: ROSTERD_DEBIAN_MIRROR=…" >&2
    exit 1
  fi
  eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
  export http_proxy=${http_proxy:-}
  mkdir -p "$folder"
  half=$(mktemp -d "$folder/making.XXXXXX")
  trap 'rm -rf "$half"' EXIT
  echo "Making a Debian $suite in $ready (the first time takes three minutes)" >&2
  debootstrap --variant=minbase --include="$packages" "$suite" "$half" "$mirror" >"$folder/debootstrap.log" 2>&1 || { tail -20 "$folder/debootstrap.log" >&2; exit 1; }
  rm -f "$half/etc/systemd/system/multi-user.target.wants/slapd.service" "$half"/etc/rc?.d/S*slapd
  rm -rf "$half/var/cache/apt/archives" "$half/var/lib/apt/lists"
  mv -T "$half" "$ready"
  trap - EXIT
fi
echo "$ready"
