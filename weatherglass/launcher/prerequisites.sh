#!/bin/sh
# Prints what is missing, and one command for Debian and Ubuntu that installs all of it. Silent if nothing is missing.
# With ASSUME_YES=1, runs the command if the user is root. PYTHON is the interpreter of the environment; empty if no
# supported version was found.

packages=""
lack() {
    echo "Weatherglass needs $1" >&2
    for package in $2; do
        case " $packages " in *" $package "*) ;; *) packages="$packages $package" ;; esac
    done
}

python_ok() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

if [ -x .venv/bin/python ]; then
    python_ok .venv/bin/python || lack "Python 3.11, 3.12 or 3.13 in .venv (remove .venv to rebuild it)" "python3 python3-venv"
elif ! python_ok "${PYTHON:-false}"; then
    lack "Python 3.11, 3.12 or 3.13 with venv (installed elsewhere? make PYTHON=/path/to/python)" "python3 python3-venv"
elif ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    lack "Python's venv module" "python3-venv"
fi

# Java 17 where the release has it; default-jdk-headless is newer in each other release that has a supported Python.
jdk=default-jdk-headless
if apt-cache show openjdk-17-jdk-headless >/dev/null 2>&1; then jdk=openjdk-17-jdk-headless; fi
java=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
if [ "${java:-0}" -lt 17 ]; then
    lack "Java 17 or newer on the PATH${java:+ (found $java)}" "$jdk"
fi

# The compiler is needed only until the jar of the features job is built.
jar=spark_jobs/weatherglass.jar
if [ ! -e "$jar" ] || [ -n "$(find spark_jobs/java/src/main -name '*.java' -newer "$jar")" ]; then
    command -v javac >/dev/null || lack "the Java compiler, javac" "$jdk"
fi

# Maven is needed only until its jars are downloaded.
for jars in kafka spark; do
    if [ ! -e "build/jars/$jars/.fetched" ] || [ pom.xml -nt "build/jars/$jars/.fetched" ]; then
        command -v mvn >/dev/null || { lack "Maven" "maven"; break; }
    fi
done

[ -n "$packages" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    install="apt-get update && apt-get install --yes$packages"
else
    install="sudo apt-get update && sudo apt-get install --yes$packages"
fi
if [ "${ASSUME_YES:-}" = 1 ] && [ "$(id -u)" = 0 ]; then
    echo "$install" >&2
    export DEBIAN_FRONTEND=noninteractive
    eval "$install" >&2 || exit 1
    # A newly installed Python is found again by its own script.
    PYTHON="${PYTHON:-$(sh "$(dirname "$0")/find-python.sh")}" ASSUME_YES="" exec sh "$0"
fi
echo "On Debian and Ubuntu, run this command, or as root: make up ASSUME_YES=1" >&2
echo "" >&2
echo "    $install" >&2
exit 1
