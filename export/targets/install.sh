#!/bin/sh
# Installs edge-asd on: @BOARD@
# From this folder alone, without a network; see --help. Run again, it upgrades in place and keeps the config.
set -eu

TARGET="@NAME@"
BITS="@BITS@"
MACHINES="@MACHINES@"
PYTHONS="@PYTHONS@"
GLIBC="@GLIBC@"
SYSTEM_SITE="@SYSTEM_SITE@"
RUNTIME="@RUNTIME@"
DEBIAN_PROOF="@DEBIAN_PROOF@"

usage() {
    cat <<END
usage: sudo sh install.sh [--prefix DIR] [--root DIR] [--python PROGRAM] [--no-start]

  --prefix DIR      where the program goes (default /opt/edge-asd)
  --root DIR        put everything below DIR, and start nothing: for images and tests
  --python PROGRAM  of this version or newer: $PYTHONS (default: the first of them that is found)
  --no-start        do not start the service

Checks the files against SHA256SUMS, the board, its Python and its C library; makes a virtual environment; puts config
and bundle into /etc/edge-asd (a config that is there is kept) and the unit into /etc/systemd/system; starts it.
exit codes: 0 ok, 2 usage, 65 damaged files, 69 this is another board or something is missing, 74 cannot write
END
}
fail() {
    code=$1
    shift
    echo "install.sh: $*" >&2
    exit "$code"
}

prefix=/opt/edge-asd root="" python="" start=yes
while [ $# -gt 0 ]; do
    case $1 in
        --prefix | --root | --python)
            [ $# -ge 2 ] || fail 2 "$1 needs a value; see --help"
            case $1 in
                --prefix) prefix=$2 ;;
                --root) root=${2%/} ;;
                --python) python=$2 ;;
            esac
            shift ;;
        --no-start) start=no ;;
        -h | --help) usage; exit 0 ;;
        *) fail 2 "unknown argument $1; see --help" ;;
    esac
    shift
done
case $prefix in /*) ;; *) fail 2 "--prefix $prefix is not an absolute path" ;; esac
cd "$(dirname "$0")"

sha256sum --check --quiet --strict SHA256SUMS >&2 || fail 65 "files are damaged or missing: copy the archive again"

machine=$(uname -m)
case " $MACHINES " in
    *" $machine "*) ;;
    *) fail 69 "this archive is for $TARGET ($MACHINES), this machine is $machine: export one for its own target" ;;
esac
fits() {
    "$1" -c "import struct, sys
version = '%d.%d' % sys.version_info[:2]
sys.exit(8 * struct.calcsize('P') != $BITS or version not in '$PYTHONS'.split())" 2>/dev/null
}
if [ -n "$python" ]; then
    fits "$python" || fail 69 "$python is none of Python $PYTHONS, $BITS-bit"
else
    for candidate in python3 $(printf 'python%s ' $PYTHONS); do
        if command -v "$candidate" >/dev/null 2>&1 && fits "$candidate"; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail 69 "no Python of these: $PYTHONS, $BITS-bit (python3 is $(python3 -V 2>&1 || true))"
fi
version=$("$python" -c "import sys; print('%d.%d' % sys.version_info[:2])")
"$python" -c "import os, sys
have = os.confstr('CS_GNU_LIBC_VERSION').split()[1]
number = lambda text: tuple(map(int, text.split('.')[:2]))
if number(have) < number('$GLIBC'):
    sys.exit('install.sh: the C library is glibc %s, $GLIBC or newer is needed: upgrade the system' % have)" || exit 69

if [ -d debs ] && ! "$python" -c "$DEBIAN_PROOF" 2>/dev/null; then
    missing=""
    for deb in debs/*.deb; do
        name=$(basename "$deb" | cut -d_ -f1)
        dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null | grep -q '^ii' || missing="$missing $deb"
    done
    [ -z "$root" ] || fail 69 "with --root, Debian's packages must be there already:$missing"
    # shellcheck disable=SC2086  # word splitting is meant
    dpkg --install $missing >&2 || fail 69 "Debian's packages in debs/ cannot be installed: run it as root (sudo)"
fi

home=$root$prefix
mkdir -p "$home" 2>/dev/null && [ -w "$home" ] || fail 74 "cannot write to $home: run it as root (sudo)"
stamp=$(sha256sum SHA256SUMS | cut -d' ' -f1)
fresh=no
if [ "$(cat "$home/installed" 2>/dev/null)" != "$stamp $version" ]; then
    fresh=yes
    rm -f "$home/installed"
    # Debian splits pip off from venv; the pip in this folder serves every system.
    site=""
    [ "$SYSTEM_SITE" = no ] || site=--system-site-packages
    "$python" -m venv --clear --without-pip $site "$home" ||
        fail 69 "no virtual environment can be made: apt install python3-venv"
    set -- wheels/pip-*.whl
    "$home/bin/python" "$1/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-index --no-deps \
        --ignore-installed --find-links wheels --requirement "requirements-$version.txt" ||
        fail 74 "the wheels cannot be installed into $home"
    echo "$stamp $version" >"$home/installed"
fi

etc=$root/etc/edge-asd
mkdir -p "$etc" "$root/etc/systemd/system" || fail 74 "cannot write to $root/etc: run it as root (sudo)"
for bundle in *.asd; do
    # Bank and thresholds mean what they say for the runtime that scores: where another one fitted them, the enrolment's
    # frames in the bundle are fitted anew here, once.
    [ $fresh = yes ] || [ ! -f "$etc/$bundle" ] || continue
    "$home/bin/python" -m edge_asd.bundle.fit_here --runtime "$RUNTIME" "$bundle" "$etc/$bundle"
done
if [ -f "$etc/config.yaml" ]; then
    echo "$etc/config.yaml is kept" >&2
else
    cp config.yaml "$etc/config.yaml"
fi
sed "s|^ExecStart=[^ ]*|ExecStart=$prefix/bin/edge-asd|" edge-asd.service >"$root/etc/systemd/system/edge-asd.service"

echo "edge-asd $("$home/bin/edge-asd" --version | cut -d' ' -f2) is installed in $home"
if [ -z "$root" ] && [ $start = yes ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable --quiet edge-asd
    systemctl restart --no-block edge-asd
    echo "the service is starting; see: $prefix/bin/edge-asd service status"
fi
if ! "$home/bin/python" -c 'import sounddevice' >/dev/null 2>&1; then
    echo "a microphone needs Debian's libportaudio2 as well: apt install libportaudio2" >&2
fi
