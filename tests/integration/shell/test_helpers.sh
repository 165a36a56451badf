# shellcheck shell=bash
# What the tests share: a place of their own, servers, runners, looks at what they leave, and an end that leaves nothing.
#
#   source "$(dirname "${BASH_SOURCE[0]}")/test_helpers.sh"
#   begin "a task is done"
#
# Values are printed on stdout, all that is for people on stderr. Call assertions as statements, never in $(...): there
# a failure would end the subshell only. What several functions tell beside their output is in these variables:
WORK=       # the test's directory
REPOSITORY= # the git repository that runners work in; set it to what make_repository prints
DATABASE=   # the server's SQLite file
STARTED=    # process id of what was started last
LOG=        # output of the runner that was started last
CODE=       # exit code of the process that was waited for last

set -euo pipefail

SUITE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=$(cd "$SUITE/../../.." && pwd -P)
RUNNER=$ROOT/advanced_agent_runner.py
PATIENCE=${PATIENCE:-40} # seconds that a wait may last before it is a failure; a busy machine needs many
if [[ -z ${PYTHON:-} ]]; then
    PYTHON=python3
    [[ ! -x $ROOT/.venv/bin/python ]] || PYTHON=$ROOT/.venv/bin/python
fi

GREEN='' RED='' DIM='' PLAIN=''
if [[ -t 2 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    GREEN=$'\e[32m' RED=$'\e[31m' DIM=$'\e[2m' PLAIN=$'\e[0m'
fi

say() { printf '%s\n' "$*" >&2; }
step() { say "- $*"; }
passed() { say "${GREEN}  ok${PLAIN} $(shortened "$*")"; }

# shortened TEXT: the text as one line of a terminal.
shortened() {
    local line=${1//$'\n'/, }
    ((${#line} <= 110)) || line="${line:0:107}..."
    printf '%s\n' "$line"
}

# fail WORDS: the test ends here.
fail() {
    say "${RED}  FAILED${PLAIN} $* ${DIM}(${BASH_SOURCE[-1]##*/}, line ${BASH_LINENO[-2]})${PLAIN}"
    exit 1
}

# --- the test's life ------------------------------------------------------------------------------------------------

# begin WHAT: make the test's directory and environment; from here on, whatever happens, clean_up comes last.
begin() {
    say "${0##*/}: $1"
    local claude
    claude=$(claude_path) || fail "no Claude CLI; run $SUITE/setup_test_env.sh, which tells how to get it"
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/agent-runner-test.XXXXXXXX")
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    WORK=$(cd "$WORK" && pwd -P)
    isolate
    export HEADLESS_PM_CLAUDE_PATH=$claude
}

# isolate: nothing of the user's settings, account or git configuration reaches the test.
isolate() {
    local name
    for name in $(compgen -e); do
        case $name in
            HEADLESS_PM_* | API_KEY* | AGENT_* | ANTHROPIC_* | CLAUDE* | GIT_* | XDG_*) unset "$name" ;;
        esac
    done
    DATABASE=$WORK/pm.db
    export HOME=$WORK/user LC_ALL=C.UTF-8 no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
    export HEADLESS_PM_HOME=$WORK/home HEADLESS_PM_API_KEY=key-of-the-shell-suite
    export HEADLESS_PM_POLL_INTERVAL=0.3 HEADLESS_PM_SETTLE=0.5
    export CLAUDE_CONFIG_DIR=$WORK/claude ANTHROPIC_API_KEY=sk-ant-made-up
    mkdir "$HOME"
    printf '[user]\n\tname = A Tester\n\temail = tester@example.invalid\n' >"$HOME/.gitconfig"
}

# clean_up: end all that was started, tell what a failure needs, remove the directory unless KEEP=1.
clean_up() {
    local code=$?
    trap - EXIT
    trap '' HUP INT TERM
    set +e
    ((code == 0 || code > 128)) || show_logs
    end_all
    if [[ ${KEEP:-} == 1 ]]; then
        say "kept: $WORK"
    else
        rm -rf -- "$WORK"
    fi
    exit "$code"
}

# show_logs: what the servers and the last runner said last.
show_logs() {
    local log
    for log in "$WORK/pm.log" "$WORK/model.log" "$LOG"; do
        [[ -s $log ]] || continue
        say "${DIM}--- the end of ${log##*/}${PLAIN}"
        tail -n 25 "$log" >&2
    done
    [[ ${KEEP:-} == 1 ]] || say "${DIM}--- KEEP=1 keeps the directory with all logs, databases and repositories${PLAIN}"
}

# end_all: kill what carries our directory in its environment: servers, runners, and the agents that outlive those.
# Two looks that find nothing are the end, for a process may have been starting during the first.
end_all() {
    local grep quiet=0 looks=0 found
    grep=$(type -P grep)
    while ((quiet < 2 && ++looks < 200)); do
        mapfile -t found < <(env -i "$grep" -slaF -- "$WORK" /proc/[0-9]*/environ)
        if ((${#found[@]})); then
            quiet=0
            kill -KILL "${found[@]//[!0-9]/}"
        else
            quiet=$((quiet + 1))
        fi
        sleep 0.02
    done
} 2>/dev/null # bash would tell of each job that was killed

# claude_path: the Claude CLI: the one that is named, else that of the claude-agent-sdk wheel, else any.
claude_path() {
    (cd "$ROOT" && "$PYTHON" - 2>/dev/null) <<'PROGRAM'
import importlib.util
import os
from pathlib import Path

from components import discovery

named = os.environ.get("HEADLESS_PM_CLAUDE_PATH")
wheel = importlib.util.find_spec("claude_agent_sdk")
bundled = Path(wheel.origin).parent / "_bundled" / "claude" if wheel and wheel.origin else None
is_bundled = not named and bundled and bundled.is_file()
print(bundled if is_bundled else discovery.find_claude(os.environ, Path.home(), Path(named) if named else None))
PROGRAM
}

# --- waiting --------------------------------------------------------------------------------------------------------

# wait_for WHAT SECONDS COMMAND...: until the command succeeds; a failure after so many seconds.
wait_for() {
    local what=$1 seconds=$2 deadline=$((SECONDS + $2))
    shift 2
    until "$@"; do
        ((SECONDS <= deadline)) || fail "$what: not within $seconds s"
        sleep 0.05
    done
}

# await_end PID: until a process that we started ends; its exit code is in CODE.
await_end() {
    wait_for "the end of process $1" "$PATIENCE" has_ended "$1"
    collect "$1"
}

# collect PID: take the exit code of a process that ends for certain; bash tells on stderr of one that was killed.
collect() {
    CODE=0
    # shellcheck disable=SC2034 # the tests read it
    wait "$1" 2>/dev/null || CODE=$?
}

is_alive() { kill -0 "$1" 2>/dev/null; }
has_ended() { ! is_alive "$1"; }

# has_said WORDS [LOG]: whether a runner's output has these words.
has_said() { grep -qsF -- "$1" "${2:-$LOG}"; }

# milliseconds: wall time, for measuring.
milliseconds() {
    local now=${EPOCHREALTIME/./}
    printf '%s\n' "${now%???}"
}

# --- what is started ------------------------------------------------------------------------------------------------

# serve NAME COMMAND...: start a server; once it announced its address, that is in URL.
serve() {
    local name=$1 log=$WORK/$1.log
    shift
    (cd "$ROOT" && exec "$@") >"$log" 2>&1 </dev/null &
    STARTED=$!
    wait_for "the address of $name" "$PATIENCE" has_announced "$STARTED" "$log"
    URL=$(sed -n 's/.* listening on \(http.*\)$/\1/p' "$log")
}

has_announced() {
    grep -qs ' listening on http.*$' "$2" && return
    is_alive "$1" || fail "a server ended before it listened: $(tail -n 3 "$2")"
    return 1
}

# start_pm [FLAG...]: a Headless PM server with its database in DATABASE; PM_FLAGS gives it further flags.
start_pm() {
    local flags
    read -ra flags <<<"${PM_FLAGS:-}"
    serve pm "$PYTHON" "$RUNNER" pm serve --port 0 --db "$DATABASE" ${flags[@]+"${flags[@]}"} "$@"
    export HEADLESS_PM_API_URL=$URL
}

# start_model: a model that plays the scripts (YAML) on stdin; the Claude CLI will ask it.
start_model() {
    cat >"$WORK/scripts.yaml"
    serve model "$PYTHON" -m components.demo.scripted_model \
        --port 0 --scripts "$WORK/scripts.yaml" --log "$WORK/model.jsonl" --parent $$
    export ANTHROPIC_BASE_URL=$URL
}

# make_repository [DIRECTORY]: a git repository with one commit on main; prints its path.
make_repository() {
    local path=${1:-$WORK/repository}
    git init -q -b main "$path"
    echo "A repository" >"$path/README"
    git -C "$path" add README
    git -C "$path" commit -q -m "Begin"
    printf '%s\n' "$path"
}

# start_runner AGENT_ID ROLE [ARGUMENT...]: the real command, in the background under nohup, as operators start it.
start_runner() {
    local agent_id=$1 role=$2
    shift 2
    RUNS=$((${RUNS:-0} + 1))
    LOG=$WORK/$agent_id.$RUNS.log
    nohup "$PYTHON" "$RUNNER" --role "$role" --agent-id "$agent_id" --repo "$REPOSITORY" "$@" \
        >"$LOG" 2>&1 </dev/null &
    STARTED=$!
}

# run_runner AGENT_ID ROLE [ARGUMENT...]: the same, to its end; its exit code is in CODE.
run_runner() {
    start_runner "$@"
    await_end "$STARTED"
}

# stop PID: SIGTERM, and the wait for the end; the exit code is in CODE.
stop() {
    kill -TERM "$1"
    await_end "$1"
}

# kill_hard PID: SIGKILL to this process alone, as a crash would end it; the exit code is in CODE.
kill_hard() {
    kill -KILL "$1"
    collect "$1"
}

# --- what is looked at ----------------------------------------------------------------------------------------------

# add_task TITLE [OPTION...]: put a task into the queue; prints its id.
add_task() { "$PYTHON" "$RUNNER" pm task add "$@"; }

# api METHOD PATH [JSON]: ask the server for a path below /api/v1; prints the answer's body, fails unless it is 2xx.
api() {
    "$PYTHON" -ISc '
import os, sys
from urllib.request import ProxyHandler, Request, build_opener
method, path, body = (*sys.argv[1:], "")[:3]
headers = {"X-API-Key": os.environ["HEADLESS_PM_API_KEY"], "Content-Type": "application/json"}
request = Request(f"{os.environ['\''HEADLESS_PM_API_URL'\'']}/api/v1{path}", body.encode() or None, headers, method=method)
print(build_opener(ProxyHandler({})).open(request, timeout=30).read().decode())' "$@"
}

# query SQL [VALUE...]: the rows of the database, a line each, fields separated by |, NULL as nothing.
query() {
    "$PYTHON" -ISc '
import contextlib, sqlite3, sys
database, sql, *values = sys.argv[1:]
with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
    for row in connection.execute(sql, values):
        print("|".join("" if value is None else str(value) for value in row))' "$DATABASE" "$@"
}

# task_field ID FIELD: a column of the task in the database.
task_field() { query "SELECT $2 FROM task WHERE id = ?" "$1"; }

# task_is ID STATUS: whether the database has the task there; for waiting.
task_is() { [[ $(task_field "$1" status) == "$2" ]]; }

# api_field ID FIELD: the same as the server tells it.
api_field() {
    api GET /tasks | "$PYTHON" -ISc '
import json, sys
value = next(task for task in json.load(sys.stdin) if task["id"] == int(sys.argv[1]))[sys.argv[2]]
print("" if value is None else value)' "$@"
}

# lock_file AGENT_ID: where the journal of an agent is.
lock_file() { printf '%s\n' "$HEADLESS_PM_HOME/locks/agent-$1.lock"; }

# json_field FILE NAME...: a value inside a JSON file; a number is a place in a list, from 0.
json_field() {
    "$PYTHON" -ISc '
import functools, json, sys
value = json.load(open(sys.argv[1], encoding="utf-8"))
print(functools.reduce(lambda found, name: found[int(name) if name.isdigit() else name], sys.argv[2:], value))' "$@"
}

# run_directories: the run directories of all attempts, a line each.
run_directories() { find "$HEADLESS_PM_HOME/runs" -mindepth 1 -maxdepth 1 -type d; }

# last_prompt: what the agent that was started last was told.
last_prompt() {
    local run
    run=$(find "$HEADLESS_PM_HOME/runs" -mindepth 2 -name prompt -printf '%T@ %p\n' | sort -n | tail -n 1)
    cat "${run#* }"
}

# agent_starts: how often a Claude CLI said that it begins.
agent_starts() { cat "$HEADLESS_PM_HOME"/runs/*/out | grep -c '"subtype":"init"'; }

# model_requests FIELD [NAME VALUE]: a field of each request that the model got, of all or of those with this value.
model_requests() {
    "$PYTHON" -ISc '
import json, sys
log, field, *wanted = sys.argv[1:]
for line in open(log, encoding="utf-8"):
    request = json.loads(line)
    if not wanted or request[wanted[0]] == wanted[1]:
        print(request[field])' "$WORK/model.jsonl" "$@"
}

# --- assertions -----------------------------------------------------------------------------------------------------

# assert_equal WHAT ACTUAL EXPECTED
assert_equal() {
    [[ $2 == "$3" ]] || fail "$1 is '$2', not '$3'"
    passed "$1 is ${3:-empty}"
}

# assert_contains WHAT TEXT PART
assert_contains() {
    [[ $2 == *"$3"* ]] || fail "$1 lacks '$3'; it begins: ${2:0:500}"
    passed "$1 has '$3'"
}

# assert_true WHAT COMMAND...
assert_true() {
    local what=$1
    shift
    "$@" || fail "not so: $what"
    passed "$what"
}

# assert_gone FILE
assert_gone() {
    [[ ! -e $1 && ! -L $1 ]] || fail "$1 is still there"
    passed "${1##*/} is gone"
}

# assert_said WORDS [LOG]: the output of the last runner.
assert_said() {
    has_said "$@" || fail "the runner did not say '$1'"
    passed "it said '$1'"
}

# assert_task ID FIELD EXPECTED: in the database and at the API.
assert_task() {
    local stored told
    stored=$(task_field "$1" "$2")
    told=$(api_field "$1" "$2")
    [[ $stored == "$told" ]] || fail "$2 of task $1 is '$stored' in the database and '$told' at the API"
    assert_equal "$2 of task $1" "$stored" "$3"
}

# assert_done ID STATUS AGENT_ID: the task stands there, nobody holds it, and the agent has nothing in hand.
assert_done() {
    assert_task "$1" status "$2"
    assert_task "$1" locked_by ""
    assert_gone "$(lock_file "$3")"
}
