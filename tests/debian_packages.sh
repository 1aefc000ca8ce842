#!/bin/sh
# Installs the Debian packages that only some tests need: PortAudio, and a compiler with the ALSA headers for the
# fake microphone, QEMU for boards that are not there, systemd's containers for the service,
# an MQTT broker, minisign. Without the right to install, it says which tests will be
# skipped and goes on.
set -eu

wanted="libportaudio2 libasound2-dev gcc libc6-dev qemu-user systemd systemd-container"
wanted="$wanted mosquitto minisign"
wanted="$wanted gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
command -v dpkg-query >/dev/null 2>&1 || { echo "not a Debian system: tests of microphones and of emulated boards may be skipped" >&2; exit 0; }
missing=""
for package in $wanted; do
    dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "missing Debian packages:$missing (apt install$missing); tests that need them are skipped" >&2
    exit 0
fi
echo "installing Debian packages for the tests:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # word splitting is meant
if ! { $as_root apt-get -qq update && $as_root apt-get -qq install -y --no-install-recommends $missing; } >&2; then
    echo "could not install$missing; tests that need them are skipped" >&2
fi
