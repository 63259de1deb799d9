#!/bin/sh
# Install rosterd from the wheels beside this script, without any network. As root:
#   ./install.sh [FOLDER]     FOLDER: where to (/opt/rosterd). The same again with a newer archive is the upgrade.
# It needs the Python that the archive is for, and nothing else: no pip, no compiler.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-/opt/rosterd}
wanted=$(cat "$here/python-version")
python=${PYTHON:-$(command -v "python$wanted" || command -v python3 || true)}

fail() {
    echo "rosterd: $1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "only root can install it."
[ -n "$python" ] || fail "finds no Python $wanted."
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[ "$found" = "$wanted" ] || fail "these wheels are for Python $wanted; $python is $found. PYTHON=/path/to/python$wanted names another."
"$python" -c 'import venv' 2>/dev/null || fail "$python cannot make a virtual environment (the module venv is missing)."
umask 022

# The new environment is complete before the old one is touched, and what ran goes on running until then.
new=$folder.new
rm -rf "$new"
"$python" -m venv --without-pip "$new"
"$python" "$here/pip.pyz" --python "$new/bin/python" install -q --no-index --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
    --no-deps --require-hashes --find-links "$here/wheels" -r "$here/requirements.txt"
# It was made under another name than it will have.
sed -i "1s|^#!.*|#!$folder/bin/python|" "$new/bin/rosterd"
find "$new/bin" -type f ! -name rosterd -delete
"$new/bin/python" -m compileall -q "$new/lib"
# Kerberos is the distribution's (python3-gssapi and the like), if that is installed, for it belongs to the machine's libkrb5.
for module in gssapi decorator; do
    found=$("$python" -c "import $module; f = $module.__file__; print(f[:-12] if f.endswith('/__init__.py') else f)" 2>/dev/null) || break
    ln -s "$found" "$new/lib/python$wanted/site-packages/"
done

first=yes
[ ! -x "$folder/bin/rosterd" ] || first=no
ran=no
stand_in=/run/systemd/system/rosterd.service.d/zz-stand-in.conf
run_again() {
    if [ -e "$stand_in" ]; then
        rm -f "$stand_in"
        rmdir --ignore-fail-on-non-empty "${stand_in%/*}"
        systemctl daemon-reload
        systemctl stop rosterd.service # the stand-in
    fi
    [ $ran = no ] || systemctl start rosterd.service
}
trap run_again EXIT # also if this ends halfway
if [ -d /run/systemd/system ]; then
    if systemctl is-active --quiet rosterd.socket; then # it stays: who asks waits there, and starts nobody but the stand-in
        mkdir -p "${stand_in%/*}"
        cp "$here/systemd/rosterd.stand-in.conf" "$stand_in"
        systemctl daemon-reload
        ran=yes
    fi
    ! systemctl is-active --quiet rosterd.service || ran=yes
    [ $ran = no ] || systemctl stop rosterd.service
fi
if [ $first = no ] && [ "${ROSTERD_UPGRADE:-}" != without-copy ] && [ -e /etc/rosterd/config.toml ]; then
    copy=/var/lib/rosterd/before-upgrade-$(date -u +%Y%m%dT%H%M%SZ).copy
    if said=$("$folder/bin/rosterd" store backup "$copy" 2>&1); then
        echo "rosterd: the store was copied to $copy"
    else
        case "$said" in
        *"There is no store at "*) ;; # never started
        *) fail "the store could not be copied, so nothing was changed (ROSTERD_UPGRADE=without-copy upgrades all the same): $said" ;;
        esac
    fi
fi
rm -rf "$folder.old"
[ ! -e "$folder" ] || mv -T "$folder" "$folder.old"
mv -T "$new" "$folder"
rm -rf "$folder.old"
mkdir -p /usr/local/bin
ln -sf "$folder/bin/rosterd" /usr/local/bin/rosterd

if [ ! -d /run/systemd/system ]; then
    echo "rosterd $("$folder/bin/rosterd" --version | cut -d' ' -f2) is in $folder. Next: rosterd init --dir FOLDER"
    exit 0
fi
sed "s|/usr/bin/rosterd|$folder/bin/rosterd|" "$here/systemd/rosterd.service" > /etc/systemd/system/rosterd.service
cp "$here/systemd/rosterd.socket" /etc/systemd/system/rosterd.socket
mkdir -p /etc/sysusers.d /etc/tmpfiles.d
cp "$here/systemd/rosterd.sysusers.conf" /etc/sysusers.d/rosterd.conf
cp "$here/systemd/rosterd.tmpfiles.conf" /etc/tmpfiles.d/rosterd.conf
systemctl daemon-reload
systemd-sysusers rosterd.conf
systemd-tmpfiles --create rosterd.conf
if [ $first = yes ]; then # later, a secret that is not there has been moved away on purpose
    "$folder/bin/rosterd" init --dir /etc/rosterd >/dev/null # overwrites nothing
    systemd-tmpfiles --create rosterd.conf                   # new files get their owners
fi
if [ $ran = yes ]; then
    trap - EXIT
    run_again
    echo "rosterd was upgraded, and runs."
else
    cat "$here/README"
fi
