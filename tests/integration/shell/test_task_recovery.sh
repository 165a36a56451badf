#!/usr/bin/env bash
# Daemons and agents that are killed at work, and what the next start makes of it.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/test_helpers.sh"
begin "a task in hand survives the end of its daemon and of its agent"

start_pm "$@"
# The agent waits in its second turn until the test opens the gate, which lies beside the repository.
start_model <<'SCRIPTS'
- name: work
  when: "title: \"Long work"
  turns:
    - Write: {file_path: "{cwd}/work.txt", content: "begun\n"}
    - Bash: touch "{cwd}/../at-work"; while [ ! -e "{cwd}/../gate" ]; do sleep 0.1; done
    - Bash: echo finished >> work.txt; git add work.txt && git commit -q -m "Finish {session}"
    - The work is finished.
SCRIPTS

# scenario WHAT: a task in TASK, with a repository and a home of the runner's own, and an agent id in AGENT.
scenario() {
    step "$1"
    local place
    SCENARIO=$((${SCENARIO:-0} + 1))
    place=$WORK/scenario-$SCENARIO
    AGENT=dev_$SCENARIO
    REPOSITORY=$(make_repository "$place/repository")
    export HEADLESS_PM_HOME=$place/home
    TASK=$(add_task "Long work $SCENARIO")
}

# at_work: until the Claude CLI runs its tool; its directory and process ids are in RUN, SHIM_PID and AGENT_PID.
at_work() {
    wait_for "the agent at work" "$PATIENCE" test -e "$REPOSITORY/../at-work"
    wait_for "the journal to name the run" "$PATIENCE" is_in_phase RUNNING
    RUN=$HEADLESS_PM_HOME/runs/$(json_field "$(lock_file "$AGENT")" run)
    AGENT_PID=$(json_field "$RUN/pids" agent 0)
    SHIM_PID=$(json_field "$RUN/pids" shim 0)
    assert_contains "the agent's command line" "$(tr '\0' ' ' <"/proc/$AGENT_PID/cmdline")" "claude -p --session-id"
    assert_task "$TASK" status under_work
    assert_task "$TASK" locked_by "$AGENT"
}

is_in_phase() { [[ $(json_field "$(lock_file "$AGENT")" phase 2>/dev/null) == "$1" ]]; }
open_gate() { touch "$REPOSITORY/../gate"; }

# requests FIELD: a field of each request of this scenario's agent.
requests() { model_requests "$1" cwd "$REPOSITORY"; }

# recover: start the runner again; the task in hand comes before anything else.
recover() {
    start_runner "$AGENT" backend_dev --single-task
    wait_for "the recovery" "$PATIENCE" has_said "Recovering previously locked task..."
    passed "it said 'Recovering previously locked task...'"
}

# assert_finished: the task was finished, by one conversation, and each turn's work was done once.
assert_finished() {
    assert_equal "the exit code" "$CODE" 0
    assert_done "$TASK" dev_done "$AGENT"
    assert_equal "work.txt" "$(<"$REPOSITORY/work.txt")" $'begun\nfinished'
    assert_equal "the number of commits" "$(git -C "$REPOSITORY" rev-list --count main)" 2
    assert_equal "the number of sessions" "$(requests session | sort -u | wc -l)" 1
}

assert_adopted() {
    assert_finished
    assert_equal "the number of agents that were started" "$(agent_starts)" 1
    assert_equal "the number of run directories" "$(run_directories | wc -l)" 1
    assert_equal "the turns that the model was asked for" "$(requests turn | tr '\n' ' ')" "0 1 2 3 "
}

scenario "the daemon is killed: its agent works on, and the next start takes it up"
start_runner "$AGENT" backend_dev
at_work
kill_hard "$STARTED"
assert_equal "the daemon's end" "$CODE" 137
assert_true "the agent still runs" is_alive "$AGENT_PID"
assert_true "and so does its shim" is_alive "$SHIM_PID"
recover
assert_true "the agent still runs after the next start" is_alive "$AGENT_PID"
open_gate
await_end "$STARTED"
assert_adopted
assert_equal "the agent's process" "$(json_field "$RUN/pids" agent 0)" "$AGENT_PID"

scenario "the agent is killed: attempt 2 goes on with its conversation"
start_runner "$AGENT" backend_dev --single-task
at_work
session=$(json_field "$(lock_file "$AGENT")" session_id)
kill -KILL "$AGENT_PID"
open_gate
await_end "$STARTED"
assert_finished
assert_equal "the session" "$(requests session | sort -u)" "$session"
assert_equal "the turns that the model was asked for" "$(requests turn | tr '\n' ' ')" "0 1 1 2 3 "
assert_equal "the number of agents that were started" "$(agent_starts)" 2
assert_equal "the number of run directories" "$(run_directories | wc -l)" 2
assert_contains "the task's notes" "$(task_field "$TASK" notes)" "attempt 2"

scenario "a lock file of the earlier runner is continued"
api POST /register "{\"agent_id\": \"$AGENT\", \"role\": \"backend_dev\", \"level\": \"senior\"}" >/dev/null
api POST "/tasks/$TASK/lock?agent_id=$AGENT" >/dev/null
api PUT "/tasks/$TASK/status?agent_id=$AGENT" '{"status": "under_work"}' >/dev/null
mkdir -p "$HEADLESS_PM_HOME/locks"
cat >"$(lock_file "$AGENT")" <<JSON
{
  "task_id": $TASK,
  "task_title": "Long work $SCENARIO",
  "agent_id": "$AGENT",
  "locked_at": "2026-01-05T08:54:11.120311",
  "worktree_path": null,
  "branch_name": null,
  "task_data": {"id": $TASK, "title": "Long work $SCENARIO", "status": "created", "skill_level": "junior"}
}
JSON
open_gate
recover
await_end "$STARTED"
assert_finished

scenario "SIGTERM: the daemon leaves its agent at work, and the next start takes it up"
start_runner "$AGENT" backend_dev
at_work
stop "$STARTED"
assert_equal "the exit code" "$CODE" 0
assert_true "the agent still runs" is_alive "$AGENT_PID"
assert_true "the journal is still there" test -e "$(lock_file "$AGENT")"
assert_task "$TASK" locked_by "$AGENT"
recover
open_gate
await_end "$STARTED"
assert_adopted
