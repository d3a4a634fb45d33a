#!/bin/bash
# Print a Python that can make the environment: 3.11 or newer, with the module `venv`, and working.
# Being on the PATH is not enough (a version manager leaves stubs that only complain), so each
# candidate is run. An argument names the only candidate.
set -uo pipefail

candidates=(python3 python3.13 python3.12 python3.11)
[ -n "${1:-}" ] && candidates=("$1")

seen=""
for name in "${candidates[@]}"; do
    version="$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"
    if [ -z "$version" ]; then
        seen+="  $name: not there, or does not work"$'\n'
    elif ! "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        seen+="  $name: is Python $version"$'\n'
    elif ! "$name" -c 'import venv, ensurepip' 2>/dev/null; then
        seen+="  $name: Python $version without the module venv"
        seen+=" (Debian and Ubuntu: apt install python$version-venv)"$'\n'
    else
        "$name" -c 'import sys; print(sys.executable)'
        exit 0
    fi
done

{
    echo "setup: no usable Python 3.11 or newer was found. Tried:"
    printf '%s' "$seen"
    echo "Install one, or name it: make setup PYTHON=/path/to/python3"
} >&2
exit 1
