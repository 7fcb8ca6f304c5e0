# Shared by bin/serve and bin/test: find a Python, make .venv, install. Sourced with `command` set to
# the name to complain under.

fail() {
    printf '%s: %s\n' "$command" "$*" >&2
    exit 1
}

# Packages are installed uncompiled; what is imported is compiled once, for all processes to come.
unset PYTHONDONTWRITEBYTECODE

# Sets $python to the first interpreter that is new enough.
find_python() {
    for python in ${DADC_PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
    done
    found=$("${DADC_PYTHON:-python3}" -c 'import platform; print(platform.python_version())' 2>/dev/null)
    fail "Python 3.11 or newer is needed, but ${found:+only Python $found}${found:-none} was found" \
        "(DADC_PYTHON=/path/to/python3 names another)."
}

# install FILE: bring .venv up to a requirements file. A stamp of everything that decides the result
# makes the second call a matter of milliseconds.
install() {
    stamp=.venv/installed-$(basename "$1" .txt)
    wanted=$(cat requirements.txt requirements-dev.txt constraints.txt extras/*.txt "$1" 2>/dev/null | cksum)
    [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return

    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "Python's venv module is missing: install it (on Debian and Ubuntu: apt-get install python3-venv)."
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        echo "Making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv || fail "could not make .venv in $PWD."
    fi
    echo "Installing the packages of $1 (once; a few minutes without a package cache)"
    log=.venv/install.log
    {
        # Not compiled: a third of the time would go into modules of which most are never imported.
        .venv/bin/python -m pip install --no-compile --disable-pip-version-check --no-input \
            --progress-bar off -r "$1" -c constraints.txt 2>&1
        echo "exit status $?"
    } | tee "$log" | show_progress
    if [ "$(tail -n 1 "$log")" != "exit status 0" ]; then
        grep -i -E '^ *(error|warning: retrying)' "$log" | tail -n 5 >&2
        fail "installing failed; $PWD/$log has the whole story."
    fi
    printf '%s\n' "$wanted" >"$stamp"
    # requirements-dev.txt includes requirements.txt.
    [ "$1" != requirements-dev.txt ] ||
        cat requirements.txt requirements-dev.txt constraints.txt extras/*.txt requirements.txt 2>/dev/null | cksum >.venv/installed-requirements
}

# One line that counts packages on a terminal, one line in twenty packages elsewhere.
show_progress() {
    terminal=0
    [ -t 1 ] && terminal=1
    awk -v terminal="$terminal" '
        function show(text) {
            if (terminal) printf "\r\033[K  %s", text
            else printf "  %s\n", text
            fflush()
        }
        # Processing: a file of a local index.
        /^ *(Collecting|Processing) / {
            name = $2
            sub(/.*\//, "", name)
            sub(/[^A-Za-z0-9_.].*/, "", name)
            if (terminal || ++count % 20 == 1) show("fetching " name)
        }
        /^Installing collected packages/ { show("unpacking " split($0, names, ",") " packages") }
        END { if (terminal) printf "\r\033[K" }
    '
}
