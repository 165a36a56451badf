"""Plays any agent: prints what the file `play` beside it says, and keeps what it was given.

`play` is JSON: `out` (text), `exit` (a code), or `signal` (it kills itself with that one). To the Claude Agent SDK it
speaks as the CLI does: it answers its questions first, and takes the prompt as a message.
"""

import json
import os
import sys
from pathlib import Path

HERE = Path(sys.argv[0]).parent


def prompt_of_the_sdk() -> str:
    """Answer the SDK until it tells the prompt."""
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "user":
            return str(message["message"]["content"])
        answer = {"subtype": "success", "request_id": message["request_id"], "response": {}}
        sys.stdout.write(json.dumps({"type": "control_response", "response": answer}) + "\n")
        sys.stdout.flush()
    return ""


def main() -> None:
    """Play."""
    if sys.argv[1:] in (["-v"], ["--version"]):
        sys.stdout.write("2.1.330 (Claude Code)\n")
        return
    is_sdk = "--input-format" in sys.argv
    prompt = prompt_of_the_sdk() if is_sdk else sys.stdin.read()
    (HERE / "given").write_text(json.dumps({"argv": sys.argv[1:], "prompt": prompt, "env": dict(os.environ)}))
    play = json.loads((HERE / "play").read_text())
    sys.stdout.write(play["out"])
    sys.stdout.flush()
    if play.get("signal"):
        os.kill(os.getpid(), play["signal"])
    if is_sdk:
        sys.stdin.read()
    sys.exit(play.get("exit", 0))


if __name__ == "__main__":
    main()
