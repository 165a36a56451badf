#!/bin/sh
# Records the session of README.md by running it: sh docs/session.sh
# A stand-in does the agent's work, so that it takes no account; everything else is what a person types and sees.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir "$stage/bin" "$stage/shop"
printf '#!/bin/sh\nexec "%s" "%s/advanced_agent_runner.py" "$@"\n' "${PYTHON:-python3}" "$root" >"$stage/bin/agent-runner"
cat >"$stage/bin/stand-in" <<'AGENT'
#!/bin/sh
case $(cat) in
*audit*) echo "Reading every module"; sleep 60 ;;
esac
echo "The sum leaves out the last item: range(len(items) - 1)"
printf 'def total(items):\n    return sum(items)\n' >cart.py
git commit -qam "Sum all items of the cart"
echo "Done: cart.py sums all items"
AGENT
chmod +x "$stage"/bin/*
export HOME="$stage" HEADLESS_PM_HOME="$stage/.headless-pm" AGENT_COMMAND=stand-in PATH="$stage/bin:$PATH" NO_COLOR=1
git config --global user.name "A Developer"
git config --global user.email dev@example.invalid
cd "$stage/shop"
git init -q -b main
printf 'def total(items):\n    return sum(items[i] for i in range(len(items) - 1))\n' >cart.py
git add -A && git commit -qm "Begin"

run() {
    printf '$ agent-runner'
    for word in "$@"; do case $word in *" "*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac; done
    echo
    agent-runner "$@" 2>&1 | sed "s#$stage#~#g"
}
newest() { agent-runner list --json -n 1 | sed -n 's/^ *"id": "\(........\).*/\1/p'; }

run task . "Make the tests of the cart green"
id=$(newest)
run task . "An audit of all modules" -b | tee "$stage/started"
audit=$(sed -n 's/^Started \([0-9a-f]*\).*/\1/p' "$stage/started")
until agent-runner status | grep -q running; do sleep 1; done
run status
run cancel "$audit"
run list
run show "$id"
run diff "$id"
run workspaces prune --dry-run
