#!/usr/bin/env bash
# Runs the tests, or those that are named: run_all_tests.sh [NAME...], a NAME as single_task or test_single_task.sh.
# The last line is `N passed, N failed`; exit 0 if none failed, 1 if any did, 2 for an unknown name or a lack of something.
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/test_helpers.sh"

TESTS=(test_single_task test_dev_to_qa_flow test_task_recovery test_continuous_mode)
PASSED=() FAILED=()
CURRENT=

# Each test is a job of its own group, so that a Ctrl-C is ours to pass on and its cleaning up is waited for.
set -m
trap 'interrupted 129 HUP' HUP
trap 'interrupted 130 INT' INT
trap 'interrupted 143 TERM' TERM

# shellcheck disable=SC2329
interrupted() {
    trap '' HUP INT TERM
    if [[ -n $CURRENT ]]; then
        kill "-$2" "$CURRENT" 2>/dev/null || true
        wait "$CURRENT" 2>/dev/null || true
    fi
    exit "$1"
}

# chosen NAME...: the tests of these names, all where there is none.
chosen() {
    local name
    (($#)) || set -- "${TESTS[@]}"
    for name; do
        name=${name##*/}
        name=test_${name#test_}
        name=${name%.sh}
        [[ " ${TESTS[*]} " == *" $name "* ]] || { say "there is no test '$name'; there are: ${TESTS[*]}" && return 2; }
        printf '%s\n' "$name"
    done
}

names=$(chosen "$@") || exit 2
"$SUITE/setup_test_env.sh" || exit 2

for name in $names; do
    say ""
    "$BASH" "$SUITE/$name.sh" </dev/null &
    CURRENT=$!
    began=$SECONDS
    if wait "$CURRENT"; then
        PASSED+=("${GREEN}PASS${PLAIN}  $name ($((SECONDS - began)) s)")
    else
        FAILED+=("${RED}FAIL${PLAIN}  $name ($((SECONDS - began)) s)")
    fi
    CURRENT=
done

say ""
for line in ${PASSED[@]+"${PASSED[@]}"} ${FAILED[@]+"${FAILED[@]}"}; do
    say "$line"
done
say "$SECONDS s in all"
printf '%s passed, %s failed\n' "${#PASSED[@]}" "${#FAILED[@]}"
exit $((${#FAILED[@]} > 0))
