#!/bin/sh
# Prints the newest supported Python with the modules venv and ensurepip: find-python.sh
# Prints one of each supported version except that of PYTHON: find-python.sh --others PYTHON
# Looks on the PATH, and for --others also among the versions that pyenv installed.

supported="3.13 3.12 3.11"

version() {
    "$1" -c 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

if [ "$1" = --others ]; then
    own=$(version "$2")
    for number in $supported; do
        [ "$number" = "$own" ] && continue
        for python in "python$number" "$HOME"/.pyenv/versions/"$number".*/bin/python; do
            if [ "$(version "$python")" = "$number" ]; then
                command -v "$python"
                break
            fi
        done
    done
    exit 0
fi

for number in $supported; do
    if [ "$(version "python$number")" = "$number" ]; then
        command -v "python$number"
        exit 0
    fi
done
case " $supported " in
    *" $(version python3) "*) command -v python3 ;;
esac
