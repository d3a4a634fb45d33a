#!/bin/sh
# Install what the tests of alerts and dashboards judge with: prometheus and promtool, from Debian's
# own packages. Needs root and apt; does nothing where promtool is there already.
set -eu
if command -v promtool >/dev/null 2>&1; then
    promtool --version 2>&1 | head -n 1
    exit 0
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
promtool --version 2>&1 | head -n 1
