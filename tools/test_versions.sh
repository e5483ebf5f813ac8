#!/usr/bin/env bash
# The tests that are quick, on each Python that bpfheap is for and that is here, but the one of .venv,
# which has run them all. Each gets a folder of its own, .venv-3.X.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

# pyenv's commands are on PATH for versions that it will not run, so each is tried.
find_python() {
    local python
    for python in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if [ "$(version_of "$python")" = "$1" ]; then
            echo "$python"
            return
        fi
    done
}

for version in 3.11 3.12 3.13; do
    if [ "$version" = "$(version_of .venv/bin/python)" ]; then
        continue
    fi
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "== Python $version is not here"
        continue
    fi
    echo "== Python $version"
    venv=.venv-$version
    if [ "$(version_of "$venv/bin/python")" != "$version" ]; then
        "$python" -m venv --clear "$venv"
    fi
    tree=$venv/tree
    rm -rf "$tree"
    mkdir "$tree"
    git ls-files --cached --others --exclude-standard -z |
        xargs -0 cp --parents --no-dereference --target-directory "$tree"
    (
        cd "$tree"
        ../bin/python -m pip install -qq --disable-pip-version-check \
            --root-user-action ignore --editable '.[dev]'
        ../bin/python -m pytest -n auto --dist worksteal -m "not long" "$@"
    )
done
