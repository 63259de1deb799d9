#!/usr/bin/env bash
# Build the Debian package: a private environment under /usr/lib/rosterd, the units, the pages. `make deb` calls it.
# Usage: packaging/build-deb.sh PYTHON OUTPUT      The package is for the Python that PYTHON is (3.11: Debian 12).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=packaging/collect.sh
. packaging/collect.sh "${1:?the Python of the environment}"
output=${2:?the folder to put the package into}
mkdir -p "$output"
output=$(cd "$output" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
private=$root/usr/lib/rosterd
packages=$private/lib/python$abi/site-packages
umask 022

# -- the environment: no pip, no activation scripts; its Python is the distribution's ---------------------------------------

mkdir -p "$private/bin" "$packages"
ln -s /usr/bin/python3 "$private/bin/python3"
printf 'home = /usr/bin\ninclude-system-site-packages = false\n' > "$private/pyvenv.cfg"
install -m 0755 packaging/debian/rosterd "$private/bin/rosterd"
runtime_lock > "$work/runtime.lock"
own_wheel "$work"
install_into=("$python" -m pip install -q --no-compile --no-deps --only-binary=:all: --target "$packages")
"${install_into[@]}" --require-hashes -r "$work/runtime.lock"
rm -rf "${packages:?}/bin"
"${install_into[@]}" --no-index --find-links "$work" "rosterd==$version"  # by name: a path would be written down in the package

# What an installed rosterd has no use for. Faker comes with Litestar, for examples that rosterd writes itself: English does.
rm -rf "${packages:?}/bin"
find "$packages" -type d \( -name tests -o -name testing \) -prune -exec rm -rf {} +
find "$packages" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) -delete
find "$packages/faker/providers" -mindepth 2 -type d -name '*_*' ! -name 'en_*' ! -name __pycache__ -prune -exec rm -rf {} +
find "$packages" -name '*.so' -exec strip --strip-unneeded {} +
find "$packages" -name '*.so' -exec chmod 0644 {} +

# Kerberos is the distribution's (python3-gssapi), for it belongs to the machine's libkrb5; where that is not installed, nothing is found here.
for module in gssapi decorator.py; do
  ln -s "/usr/lib/python3/dist-packages/$module" "$packages/$module"
done

# -- what belongs to the system -------------------------------------------------------------------------------------------------

install -D -m 0644 -t "$root/usr/lib/systemd/system" systemd/rosterd.service systemd/rosterd.socket
install -m 0644 systemd/rosterd.stand-in.conf "$private/stand-in.conf"
install -D -m 0644 systemd/rosterd.sysusers.conf "$root/usr/lib/sysusers.d/rosterd.conf"
install -D -m 0644 systemd/rosterd.tmpfiles.conf "$root/usr/lib/tmpfiles.d/rosterd.conf"
mkdir -p "$root/usr/bin"
ln -s ../lib/rosterd/bin/rosterd "$root/usr/bin/rosterd"
papers=$root/usr/share/doc/rosterd
install -D -m 0644 -t "$papers" README.md config.example.toml
cp -r docs "$papers/docs"
install -m 0644 packaging/debian/copyright "$papers/copyright"
gzip -9n < CHANGELOG.md > "$papers/changelog.gz"
chmod -R u=rwX,go=rX "$root"

# -- the package --------------------------------------------------------------------------------------------------------------------

next=${abi%.*}.$((${abi#*.} + 1))
full=$version-1+py$abi  # a newer distribution has a newer Python, and so a newer package
mkdir -m 0755 "$root/DEBIAN"
fill=(-e "s/@VERSION@/$full/" -e "s/@ARCHITECTURE@/$(dpkg --print-architecture)/" -e "s/@PYTHON@/$abi/g" -e "s/@NEXT_PYTHON@/$next/")
fill+=(-e "s/@SIZE@/$(du -sk --apparent-size "$root/usr" | cut -f1)/")
sed "${fill[@]}" packaging/debian/control.in > "$root/DEBIAN/control"
for script in preinst postinst prerm postrm; do
  install -m 0755 "packaging/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum > DEBIAN/md5sums)
package=$output/rosterd_${full}_$(dpkg --print-architecture).deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
echo "$package: $(($(stat -c %s "$package") / 1024)) KiB, $(du -sk --apparent-size "$root/usr" | cut -f1) KiB installed"
