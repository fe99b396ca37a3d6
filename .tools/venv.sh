#!/bin/sh
# Makes a virtual environment, or takes the one that is there, and installs into it what the constraints pin.
#   .tools/venv.sh DIRECTORY CONSTRAINTS INSTALL-ARGUMENTS...
# Needs Python 3.11 to 3.13 and pip. uv comes from the registry where it can (seconds instead of minutes); else pip does it.
set -eu
directory=$1 constraints=$2
shift 2
python=${PYTHON:-python3}
uv_version=0.13.8
pip_version=26.3 # the first pip that knows --group is 25.1; Debian 12 has 23.0

"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || {
    echo "$python is $("$python" -V 2>&1), and this project needs Python 3.11, 3.12 or 3.13." >&2
    echo "Name one of these: make PYTHON=python3.11 ..." >&2
    exit 1
}

in_venv=$directory/bin/python
if ! "$in_venv" -c '' 2>/dev/null; then
    rm -rf "$directory"
    # Debian keeps ensurepip in a package of its own (python3-venv); pip from outside serves as well.
    "$python" -m venv "$directory" >/dev/null 2>&1 || { rm -rf "$directory" && "$python" -m venv --without-pip "$directory"; }
fi
if "$in_venv" -m pip --version >/dev/null 2>&1; then
    pip_install() { "$in_venv" -m pip install --quiet --disable-pip-version-check "$@"; }
else
    pip_install() { "$python" -m pip --python "$in_venv" install --quiet --disable-pip-version-check "$@"; }
fi

if pip_install "uv==$uv_version" 2>/dev/null; then
    "$in_venv" -m uv pip install --quiet --python "$in_venv" --constraint "$constraints" "$@"
else
    echo "uv $uv_version cannot be had here; pip installs, which takes minutes." >&2
    pip_install "pip==$pip_version"
    "$in_venv" -m pip install --quiet --disable-pip-version-check --constraint "$constraints" "$@"
fi
touch "$directory/.ready"
