#!/usr/bin/env bash
# A daemon does what comes, rests when nothing does, and ends at once when it is told to.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/test_helpers.sh"
begin "a daemon does one task after another, rests, and ends at once"

start_pm "$@"
start_model <<'SCRIPTS'
- name: one
  when: Write file one
  turns:
    - Write: {file_path: "{cwd}/one.txt", content: "one\n"}
    - Bash: git add one.txt && git commit -q -m "Add one"
    - One is written.
- name: two
  when: Write file two
  turns:
    - Write: {file_path: "{cwd}/two.txt", content: "two\n"}
    - Bash: git add two.txt && git commit -q -m "Add two"
    - Two is written.
- name: three
  when: Write file three
  turns:
    - Write: {file_path: "{cwd}/three.txt", content: "three\n"}
    - Bash: git add three.txt && git commit -q -m "Add three"
    - Three is written.
SCRIPTS
REPOSITORY=$(make_repository)

# is_idle: whether the last that the daemon said is that it rests.
is_idle() { [[ $(tail -n 1 "$LOG") == *"No tasks available"* ]]; }

# assert_ends_at_once: SIGTERM to the daemon DAEMON, which is idle, and how long it takes.
assert_ends_at_once() {
    local began ended
    began=$(milliseconds)
    stop "$DAEMON"
    ended=$(milliseconds)
    assert_equal "the exit code" "$CODE" 0
    assert_true "from SIGTERM to the end: $((ended - began)) ms, less than 1000" test $((ended - began)) -lt 1000
}

step "a daemon waits for tasks"
start_runner dev_1 backend_dev --level principal
DAEMON=$STARTED
wait_for "the rest" "$PATIENCE" is_idle

step "it does each task that is filed, minor and major"
one=$(add_task "Write file one" --level junior --minor)
wait_for "task $one" "$PATIENCE" task_is "$one" dev_done
two=$(add_task "Write file two" --level senior --major)
wait_for "task $two" "$PATIENCE" task_is "$two" dev_done
three=$(add_task "Write file three" --level principal --minor)
wait_for "task $three" "$PATIENCE" task_is "$three" dev_done
wait_for "the rest" "$PATIENCE" is_idle

for task in "$one" "$two" "$three"; do
    assert_done "$task" dev_done dev_1
done
assert_equal "the commits of main" "$(git -C "$REPOSITORY" log --format=%s main)" $'Add three\nAdd one\nBegin'
assert_equal "the commits of the branch" "$(git -C "$REPOSITORY" log --format=%s "main..feature/task-$two")" "Add two"
assert_equal "the number of worktrees" "$(git -C "$REPOSITORY" worktree list | wc -l)" 1
assert_equal "what is not committed" "$(git -C "$REPOSITORY" status --porcelain)" ""
assert_contains "the model of the principal task" "$(model_requests model script three | sort -u)" opus
assert_true "the daemon still runs" is_alive "$DAEMON"
assert_true "it told of each rest once, not at each poll" test "$(grep -c "No tasks available" "$LOG")" -le 4

step "a second daemon of the same agent id is refused"
first_log=$LOG
run_runner dev_1 backend_dev
assert_equal "the exit code" "$CODE" 75
assert_said "process $DAEMON "
assert_true "the first one still runs" is_alive "$DAEMON"

step "SIGTERM while it is idle ends it at once"
assert_ends_at_once
assert_gone "$(lock_file dev_1)"
assert_equal "what it told of errors" "$(grep -iE 'error|traceback' "$first_log" || true)" ""

step "and so it does in the middle of a long rest"
start_runner dev_1 backend_dev --poll-interval 600
DAEMON=$STARTED
wait_for "the rest" "$PATIENCE" is_idle
assert_ends_at_once
