# shellcheck shell=bash
# Sourced by the commands in script/. Brings uv, and keeps backend/.venv at the versions of the lock files.
#
# Everything lands in the checkout (.tools/ and backend/.venv, both git-ignored); nothing is installed
# for the user or the system. AGENTROUTE_PYTHON (a version such as 3.12, or a path) chooses the interpreter.

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
BACKEND="$ROOT/backend"
VENV="$BACKEND/.venv"
TOOLS="$ROOT/.tools"

SUPPORTED_PYTHON='>=3.11,<3.14'
UV_LOCK="$ROOT/script/uv-requirements.lock"
UV_OLDEST_MINOR=7 # 0.7 understands every option used here

# Progress goes to stderr: stdout belongs to the command.
say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

uv_is_usable() {
    local version
    version=$("$1" --version 2>/dev/null) || return 1
    [[ $version =~ ^uv\ ([0-9]+)\.([0-9]+)\. ]] || return 1
    ((BASH_REMATCH[1] > 0 || BASH_REMATCH[2] >= UV_OLDEST_MINOR))
}

# Sets UV to a usable uv: the one on PATH, else a private one in .tools/.
find_uv() {
    local candidate
    for candidate in "$(command -v uv || true)" "$TOOLS/uv/bin/uv" "$TOOLS/uv-target/bin/uv"; do
        if [[ -n $candidate ]] && uv_is_usable "$candidate"; then
            UV=$candidate
            return
        fi
    done
    install_uv
}

install_uv() {
    local python
    python=$(command -v python3 || command -v python || true)
    [[ -n $python ]] || die "neither uv nor python3 is on PATH: install one of them and run this again"
    mkdir -p "$TOOLS" 2>/dev/null || die "cannot write to $ROOT: run this as the owner of the checkout"
    say "uv is not on PATH: installing a private copy into .tools/ ..."
    # Debian without python3-venv makes half a venv and fails; its pip, when there is one, can still fill a folder.
    if "$python" -m venv "$TOOLS/uv" >"$TOOLS/uv.log" 2>&1 &&
        "$TOOLS/uv/bin/python" -m pip install --quiet --require-hashes -r "$UV_LOCK" >>"$TOOLS/uv.log" 2>&1; then
        UV="$TOOLS/uv/bin/uv"
    elif "$python" -m pip install --quiet --upgrade --target "$TOOLS/uv-target" \
        --require-hashes -r "$UV_LOCK" >>"$TOOLS/uv.log" 2>&1; then
        UV="$TOOLS/uv-target/bin/uv"
    else
        tail -n 3 "$TOOLS/uv.log" >&2
        die "could not install uv with $python (see .tools/uv.log): install uv, or python3-venv, and run this again"
    fi
    uv_is_usable "$UV" || die "the uv that was installed does not run: $UV"
}

# uv brings public certificates of its own; a network with its own authority has put that into the system's.
trust_system_certificates() {
    local bundle
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        if [[ -r $bundle ]]; then
            export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true}
            return
        fi
    done
}

# uv needs a cache folder; a user without a home (a container's uid, nobody) has none.
ensure_cache() {
    [[ -n ${UV_CACHE_DIR:-} || -n ${XDG_CACHE_HOME:-} ]] && return
    if [[ -z ${HOME:-} || ! -w $HOME ]]; then
        export UV_CACHE_DIR="$TOOLS/uv-cache"
    fi
}

python_version() {
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null
}

# The path of the interpreter that AGENTROUTE_PYTHON means. uv looks on PATH; version managers keep theirs elsewhere.
wanted_python() {
    local folder candidate
    "$UV" python find --no-project --system --no-python-downloads "$AGENTROUTE_PYTHON" 2>/dev/null && return
    [[ $AGENTROUTE_PYTHON =~ ^3\.[0-9]+(\.[0-9]+)?$ ]] || return 1
    for folder in "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions" "${HOME:-}/.local/share/mise/installs/python" \
        "${HOME:-}/.asdf/installs/python"; do
        for candidate in "$folder/$AGENTROUTE_PYTHON" "$folder/$AGENTROUTE_PYTHON".*; do
            if [[ -x $candidate/bin/python3 ]] && python_version "$candidate/bin/python3" >/dev/null; then
                printf '%s\n' "$candidate/bin/python3"
                return
            fi
        done
    done
    return 1
}

# environment_is_usable FOLDER: it has a Python that runs, is supported, and is the one of AGENTROUTE_PYTHON.
environment_is_usable() {
    local have want wanted
    have=$(python_version "$1/bin/python") || return 1
    [[ $have =~ ^3\.(11|12|13)\. ]] || return 1
    [[ -n ${AGENTROUTE_PYTHON:-} ]] || return 0
    wanted=$(wanted_python) || return 1
    want=$(python_version "$wanted") && [[ $have == "$want" ]]
}

# create_environment FOLDER NAME: an empty one, for the Python that is wanted.
create_environment() {
    local python=${AGENTROUTE_PYTHON:-$SUPPORTED_PYTHON} found
    if [[ -n ${AGENTROUTE_PYTHON:-} ]] && found=$(wanted_python); then python=$found; fi
    "$UV" venv --quiet --clear --no-project --prompt "$2" --python "$python" "$1" ||
        die "no usable Python $python: install it, or set AGENTROUTE_PYTHON to the path of a Python 3.11, 3.12 or 3.13"
    environment_is_usable "$1" || die "AGENTROUTE_PYTHON=$python is not a Python 3.11, 3.12 or 3.13"
}

venv_is_usable() { environment_is_usable "$VENV"; }

ensure_venv() {
    venv_is_usable && return
    say "Creating backend/.venv for Python ${AGENTROUTE_PYTHON:-$SUPPORTED_PYTHON} ..."
    create_environment "$VENV" agentroute
}

# Shows what uv downloads, line by line, without its list of every package.
with_progress() {
    "$@" 2>&1 | awk '!/^ [-+~] / { print; fflush() }' >&2
}

# What an installation depends on. The path is part of it: a moved checkout has broken scripts.
fingerprint() {
    printf '%s\n' "$BACKEND" "$(python_version "$VENV/bin/python")"
    cat "$BACKEND/pyproject.toml" "$@" | cksum
}

# Two commands started at once install one after the other. macOS has no flock; there it is left to uv.
lock_tools() {
    mkdir -p "$TOOLS"
    exec 9>"$TOOLS/lock"
    if command -v flock >/dev/null; then flock 9; fi
}
unlock_tools() { exec 9>&-; }

# Compiles modules to bytecode: a process that starts with PYTHONDONTWRITEBYTECODE reads bytecode but leaves none behind.
# On all cores, where the system has what that needs. A folder that cannot be written to stays as it is, only slower.
compile_modules() {
    "$VENV/bin/python" -m compileall -q -j 0 "$@" >/dev/null 2>&1 ||
        "$VENV/bin/python" -m compileall -q "$@" >/dev/null 2>&1 || true
}

# Half of all files belong to libraries of which no process of ours imports more than the name (docs/adr/0028).
compile_packages() {
    say "Compiling the packages to bytecode ..."
    compile_modules -x '/(anthropic|dashscope|numpy|openai|pygments)/' "$VENV"/lib/python3.*/site-packages
}

# Our own modules; git ignores the result. 0.05 s when nothing changed.
compile_sources() {
    "$VENV/bin/python" -m compileall -q "$BACKEND/src" "$BACKEND/alembic" >/dev/null 2>&1 || true
}

# ensure_environment run|dev: bring everything the command needs. Quick when nothing changed.
ensure_environment() {
    install_environment "$1"
    compile_sources
}

install_environment() {
    local locks=("$BACKEND/requirements.lock")
    local stamp="$VENV/.agentroute-run"
    if [[ $1 == dev || -e "$VENV/.agentroute-dev" ]]; then
        locks+=("$BACKEND/requirements-dev.lock")
        stamp="$VENV/.agentroute-dev"
    fi
    if [[ -f $stamp ]] && [[ $(<"$stamp") == "$(fingerprint "${locks[@]}")" ]] && [[ -z ${AGENTROUTE_PYTHON:-} ]]; then
        return
    fi
    [[ -w $BACKEND ]] || die "cannot write to $BACKEND: run this as the owner of the checkout, or in a copy of it"
    lock_tools
    find_uv
    trust_system_certificates
    ensure_cache
    ensure_venv
    if [[ -f $stamp && $(<"$stamp") == "$(fingerprint "${locks[@]}")" ]]; then
        unlock_tools
        return
    fi
    say "Installing $(cat "${locks[@]}" | grep -c '^[a-z0-9].*==') locked packages into backend/.venv (a minute or two the first time) ..."
    local lock arguments=()
    for lock in "${locks[@]}"; do arguments+=(-r "$lock"); done
    with_progress "$UV" pip install --python "$VENV/bin/python" --require-hashes "${arguments[@]}" ||
        die "the dependencies could not be installed; the reason is above"
    # The build back end is in the lock, so nothing unpinned is fetched to build the project.
    "$UV" pip install --quiet --python "$VENV/bin/python" --no-deps --no-build-isolation --editable "$BACKEND" ||
        die "the project could not be installed; the reason is above"
    compile_packages
    fingerprint "${locks[@]}" >"$stamp"
    unlock_tools
}

# ensure_tool NAME LOCK WORDS: an environment of its own in .tools/NAME: the tests and the service need none of its packages.
ensure_tool() {
    local folder="$TOOLS/$1" wanted
    local stamp="$folder/.agentroute"
    wanted=$(printf '%s\n' "$folder" && cksum <"$2")
    [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return
    lock_tools
    if [[ ! -f $stamp || $(<"$stamp") != "$wanted" ]]; then
        find_uv
        trust_system_certificates
        ensure_cache
        say "Installing $3 into .tools/$1 (once) ..."
        "$UV" venv --quiet --clear --no-project --prompt "$1" --python "$VENV/bin/python" "$folder" ||
            die "no environment for $3; the reason is above"
        # From the lock's folder: no settings of the backend count.
        (cd "$(dirname -- "$2")" &&
            "$UV" pip install --quiet --compile-bytecode --python "$folder/bin/python" --require-hashes -r "$2") ||
            die "$3 could not be installed; the reason is above"
        printf '%s\n' "$wanted" >"$stamp"
    fi
    unlock_tools
}
