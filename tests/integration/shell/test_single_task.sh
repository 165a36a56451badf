#!/usr/bin/env bash
# One minor task by the real command and the real Claude CLI; then a run that finds none.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/test_helpers.sh"
begin "a minor task is done in the main checkout, and without a task it says so"

start_pm "$@"
start_model <<'SCRIPTS'
- name: greeting
  when: Write the greeting
  turns:
    - Write: {file_path: "{cwd}/greeting.txt", content: "Hello from the agent\n"}
    - Bash: git add greeting.txt && git commit -q -m "Add the greeting"
    - The greeting is written and committed.
SCRIPTS
REPOSITORY=$(make_repository)

step "a junior task is done"
task=$(add_task "Write the greeting" --level junior --minor -d "Put one friendly line into greeting.txt.")
assert_task "$task" status created

run_runner dev_1 backend_dev --single-task

assert_equal "the exit code" "$CODE" 0
assert_said "Task status updated to: dev_done"
assert_done "$task" dev_done dev_1
history=$(query "SELECT old_status, new_status FROM changelog WHERE task_id = ? ORDER BY id" "$task" | tail -n 2)
assert_equal "its way through the statuses" "$history" $'created|under_work\nunder_work|dev_done'

step "its work is in the repository"
assert_equal "greeting.txt" "$(<"$REPOSITORY/greeting.txt")" "Hello from the agent"
assert_equal "the last commit" "$(git -C "$REPOSITORY" log -1 --format=%s main)" "Add the greeting"
assert_equal "what is not committed" "$(git -C "$REPOSITORY" status --porcelain --ignored)" ""
assert_equal "the number of worktrees" "$(git -C "$REPOSITORY" worktree list | wc -l)" 1

step "the right model was told the right thing"
models=$(model_requests model script greeting | sort -u)
assert_equal "the number of models that were asked" "$(wc -l <<<"$models")" 1
assert_contains "the model that was asked" "$models" sonnet
assert_equal "the directory of the agent" "$(model_requests cwd script greeting | sort -u)" "$REPOSITORY"
told=$(last_prompt)
assert_contains "the prompt" "$told" 'title: "Write the greeting"'
assert_contains "the prompt" "$told" "Put one friendly line into greeting.txt."
assert_contains "what the model got" "$(model_requests prompt script greeting)" "${told:0:1000}"

step "without a task it ends with a code of its own"
run_runner dev_1 backend_dev --single-task

assert_equal "the exit code" "$CODE" 3
assert_said "No tasks available"
assert_equal "the number of agents that were started" "$(agent_starts)" 1
