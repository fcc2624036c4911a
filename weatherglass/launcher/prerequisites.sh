#!/bin/sh
# Says in one line each what this machine lacks and how to get it on Debian or Ubuntu; silent when nothing is missing.
# PYTHON is the interpreter that the environment is made with.

missing=0
lack() {
    echo "Weatherglass needs $1: sudo apt-get install $2" >&2
    missing=1
}

if ! "${PYTHON:-python3.11}" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    lack "Python 3.11 (if it is elsewhere: make PYTHON=/path/to/python3.11)" "python3.11 python3.11-venv"
elif [ ! -x .venv/bin/python ] && ! "${PYTHON:-python3.11}" -c 'import ensurepip, venv' 2>/dev/null; then
    lack "Python's venv" "python3.11-venv"
fi

java=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
if [ "${java:-0}" -lt 17 ]; then
    lack "Java 17 or newer on the PATH${java:+ (found $java)}" "openjdk-17-jdk-headless"
fi

# The compiler is needed only as long as the features job's own jar is not there.
jar=build/jars/spark/weatherglass.jar
if [ ! -e "$jar" ] || [ -n "$(find spark_jobs/jvm -name '*.java' -newer "$jar")" ]; then
    command -v javac >/dev/null || lack "Java's compiler, javac" "openjdk-17-jdk-headless"
fi

# Maven is needed only as long as its jars are not there.
for jars in kafka spark; do
    if [ ! -e "build/jars/$jars/.fetched" ] || [ pom.xml -nt "build/jars/$jars/.fetched" ]; then
        command -v mvn >/dev/null || { lack "Maven" "maven"; break; }
    fi
done
exit $missing
