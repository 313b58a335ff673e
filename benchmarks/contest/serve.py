"""A worker: `python -m benchmarks.contest.serve SIDE THREADS` answers JSON lines from stdin on stdout, one each."""

import json
import os
import sys


def main() -> None:
    """Answer until stdin ends. What a library prints goes to stderr."""
    side, threads = sys.argv[1], int(sys.argv[2])
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    import torch

    from benchmarks.contest.side import Answers

    torch.set_num_threads(threads)
    answers = Answers(side)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = getattr(answers, question.pop("ask"))(**question)
        except Exception as error:  # noqa: BLE001  # whatever a library raises is told, and ends nothing else
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        replies.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
