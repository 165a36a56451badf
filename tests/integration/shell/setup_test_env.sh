#!/usr/bin/env bash
# Looks whether this machine has what the tests need, and tells for each lack what to do. Exit 0: all is there.
# shellcheck source-path=SCRIPTDIR disable=SC2329
source "$(dirname "${BASH_SOURCE[0]}")/test_helpers.sh"

MISSING=0

# need WHAT REMEDY COMMAND...: shows what the command prints, or the remedy where it fails.
need() {
    local what=$1 remedy=$2 found
    shift 2
    if found=$("$@" 2>/dev/null); then
        say "${GREEN}  ok${PLAIN}       $what${found:+: $found}"
    else
        say "${RED}  missing${PLAIN}  $what. $remedy"
        MISSING=$((MISSING + 1))
    fi
}

is_linux() { [[ -r /proc/self/environ && -r /proc/self/stat ]] && uname -sr; }
is_new_bash() { ((BASH_VERSINFO[0] >= 5)) && printf '%s\n' "$BASH_VERSION"; }
python_version() {
    "$PYTHON" -c 'import platform, sys; print(platform.python_version()); sys.exit(sys.version_info < (3, 11))'
}
find_modules() {
    (cd "$ROOT" && "$PYTHON" - components "$@") <<'PROGRAM'
import importlib.util
import sys

missing = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
sys.exit(f"missing: {missing}" if missing else 0)
PROGRAM
}
coreutils() { type -P nohup mktemp tail >/dev/null; }
claude_version() {
    local path
    path=$(claude_path) && printf '%s at %s\n' "$("$path" --version)" "$path"
}

say "What the shell tests need:"
need "Linux with /proc" "The runner keeps its agents by Linux' means; use a Linux machine or a container." is_linux
need "bash 5" "Install a newer bash." is_new_bash
need "Python 3.11 or newer ($PYTHON)" "Install it, or name another one: PYTHON=/path/to/python." python_version
need "the runner's Python packages" "Run 'make test' once, or '$PYTHON -m pip install -e \"${ROOT}[demo]\"'." \
    find_modules click colorama psutil yaml requests tenacity fastapi uvicorn sqlalchemy
need "git" "Install git." git --version
need "the Claude CLI" \
    "Run '$PYTHON -m pip install claude-agent-sdk' or 'npm install -g @anthropic-ai/claude-code'." claude_version
need "nohup, mktemp, tail" "Install the coreutils." coreutils

((MISSING == 0)) || say "${RED}$MISSING missing${PLAIN}"
exit $((MISSING > 0))
