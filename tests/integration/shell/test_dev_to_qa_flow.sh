#!/usr/bin/env bash
# What a developer finished goes to QA, which passes it, or rejects it so that a developer gets it again.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/test_helpers.sh"
begin "a task goes from a developer to QA, and back where QA rejects it"

start_pm "$@"
start_model <<'SCRIPTS'
- name: greeting-qa
  when: '"Write the greeting"[\s\S]*- role: qa'
  turns:
    - Bash: cat greeting.txt
    - "The greeting is there.\nQA: PASSED"
- name: greeting
  when: Write the greeting
  turns:
    - Write: {file_path: "{cwd}/greeting.txt", content: "Hello from a branch\n"}
    - Bash: git branch --show-current; git add greeting.txt && git commit -q -m "Add the greeting"
    - The greeting is written and committed.

- name: farewell-qa-again
  when: '"Write the farewell"[\s\S]*- role: qa[\s\S]*the farewell is in lower case'
  turns:
    - Bash: cat farewell.txt
    - "It begins with a capital.\nQA: PASSED"
- name: farewell-qa
  when: '"Write the farewell"[\s\S]*- role: qa'
  turns:
    - Bash: cat farewell.txt
    - "I read the farewell.\nQA: REJECTED - the farewell is in lower case"
- name: farewell-again
  when: '"Write the farewell"[\s\S]*the farewell is in lower case'
  turns:
    - Bash: cat farewell.txt; echo "Goodbye" > farewell.txt && git commit -q -a -m "Begin with a capital"
    - It begins with a capital now.
- name: farewell
  when: Write the farewell
  turns:
    - Write: {file_path: "{cwd}/farewell.txt", content: "goodbye\n"}
    - Bash: git add farewell.txt && git commit -q -m "Add the farewell"
    - The farewell is written and committed.

- name: song-qa-again
  when: '"Write the song"[\s\S]*- role: qa[\s\S]*the song has one verse only'
  turns:
    - Bash: cat song.txt
    - "Two verses.\nQA: PASSED"
- name: song-qa
  when: '"Write the song"[\s\S]*- role: qa'
  turns:
    - Bash: cat song.txt
    - "QA: REJECTED - the song has one verse only"
- name: song-again
  when: '"Write the song"[\s\S]*the song has one verse only'
  turns:
    - Bash: echo "Verse two" >> song.txt; git add song.txt && git commit -q -m "Add a verse"; cat song.txt
    - There are two verses now.
- name: song
  when: Write the song
  turns:
    - Write: {file_path: "{cwd}/song.txt", content: "Verse one\n"}
    - Bash: git add song.txt && git commit -q -m "Add the song"
    - The song is written and committed.
SCRIPTS
REPOSITORY=$(make_repository)

# seen SCRIPT: what the tools told the model last in a script.
seen() { model_requests tool_results script "$1" | tail -n 1; }

# work AGENT_ID ROLE: one task by the real command, which must succeed.
work() {
    run_runner "$1" "$2" --single-task
    assert_equal "the exit code of $1" "$CODE" 0
}

step "a developer does a major task in a worktree, on a branch of its own"
greeting=$(add_task "Write the greeting" --major --branch feature/greeting)
work dev_1 backend_dev
assert_done "$greeting" dev_done dev_1
directory=$(model_requests cwd script greeting | sort -u)
assert_contains "the agent's directory" "$directory" "$REPOSITORY/.worktrees/task-$greeting-"
assert_contains "the branch that the agent saw" "$(seen greeting)" feature/greeting
assert_gone "$directory"
assert_equal "the branch's last commit" "$(git -C "$REPOSITORY" log -1 --format=%s feature/greeting)" "Add the greeting"
assert_equal "the branch's file" "$(git -C "$REPOSITORY" show feature/greeting:greeting.txt)" "Hello from a branch"
assert_equal "the last commit of main" "$(git -C "$REPOSITORY" log -1 --format=%s main)" "Begin"
assert_equal "what is not committed" "$(git -C "$REPOSITORY" status --porcelain)" ""

step "QA gets it, sees the work, and passes it"
work qa_1 qa
assert_done "$greeting" qa_done qa_1
assert_contains "what QA saw" "$(seen greeting-qa)" "Hello from a branch"
who=$(query "SELECT new_status, changed_by FROM changelog WHERE task_id = ? ORDER BY id" "$greeting" | tail -n 4)
assert_equal "who moved it" "$who" $'under_work|dev_1\ndev_done|dev_1\nunder_work|qa_1\nqa_done|qa_1'

step "QA rejects another task, which is free again with the reason"
farewell=$(add_task "Write the farewell" --minor)
work dev_1 backend_dev
assert_done "$farewell" dev_done dev_1
work qa_1 qa
assert_said "Task status updated to: created"
assert_done "$farewell" created qa_1
assert_contains "its notes" "$(api_field "$farewell" notes)" "QA: REJECTED - the farewell is in lower case"
assert_equal "its notes in the database" "$(task_field "$farewell" notes)" "$(api_field "$farewell" notes)"

step "a developer gets it again and knows why, and QA passes it"
work dev_1 backend_dev
assert_done "$farewell" dev_done dev_1
assert_contains "what the developer was told" "$(last_prompt)" "the farewell is in lower case"
assert_contains "what the developer saw" "$(seen farewell-again)" goodbye
assert_equal "farewell.txt" "$(git -C "$REPOSITORY" show main:farewell.txt)" "Goodbye"
work qa_1 qa
assert_done "$farewell" qa_done qa_1
assert_contains "what QA saw" "$(seen farewell-qa-again)" "Goodbye"

step "a major task that names no branch goes to and fro, and each one sees the work of the one before"
song=$(add_task "Write the song" --major)
work dev_1 backend_dev
assert_done "$song" dev_done dev_1
work qa_1 qa
assert_contains "what QA saw" "$(seen song-qa)" "Verse one"
assert_done "$song" created qa_1
work dev_2 backend_dev
assert_contains "what the next developer saw" "$(seen song-again)" 'Verse one\nVerse two'
assert_done "$song" dev_done dev_2
work qa_1 qa
assert_contains "what QA saw" "$(seen song-qa-again)" 'Verse one\nVerse two'
assert_done "$song" qa_done qa_1
