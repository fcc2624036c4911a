#!/bin/sh
# Prints one line for each missing prerequisite, with the Debian package that provides it. Silent if nothing is missing.
# PYTHON is the interpreter of the environment; empty if no supported version was found.

missing=0
lack() {
    echo "Weatherglass needs $1: sudo apt-get install $2" >&2
    missing=1
}

python_ok() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

if [ -x .venv/bin/python ]; then
    python_ok .venv/bin/python || lack "Python 3.11, 3.12 or 3.13 in .venv (remove .venv to rebuild it)" "python3"
elif ! python_ok "${PYTHON:-false}"; then
    lack "Python 3.11, 3.12 or 3.13 with venv (installed elsewhere? make PYTHON=/path/to/python)" "python3 python3-venv"
elif ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    lack "Python's venv module" "python3-venv"
fi

java=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
if [ "${java:-0}" -lt 17 ]; then
    lack "Java 17 or newer on the PATH${java:+ (found $java)}" "openjdk-17-jdk-headless"
fi

# The compiler is needed only until the jar of the features job is built.
jar=spark_jobs/weatherglass.jar
if [ ! -e "$jar" ] || [ -n "$(find spark_jobs/java/src/main -name '*.java' -newer "$jar")" ]; then
    command -v javac >/dev/null || lack "the Java compiler, javac" "openjdk-17-jdk-headless"
fi

# Maven is needed only until its jars are downloaded.
for jars in kafka spark; do
    if [ ! -e "build/jars/$jars/.fetched" ] || [ pom.xml -nt "build/jars/$jars/.fetched" ]; then
        command -v mvn >/dev/null || { lack "Maven" "maven"; break; }
    fi
done
exit $missing
