"""Answers the questions of bench/lib/peer.ts: a line of JSON in, a line of JSON out, until the input ends."""

import json
import resource
import sys
import traceback


def serve(handlers):
    """`handlers` maps a call's name to a function of its arguments that gives something JSON can hold."""
    out, sys.stdout = sys.stdout, sys.stderr  # What libraries print must not get between the answers.
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"result": handlers[question["call"]](**question["args"])}
        except Exception as error:
            traceback.print_exc()
            first = str(error).strip().split("\n")[0]
            answer = {"error": f"{type(error).__name__}: {first}"}
        print(json.dumps(answer), file=out, flush=True)


def peak_bytes():
    """The most memory this process has held (Linux: kilobytes)."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def private_bytes():
    """The most memory this process has held beside what it inherited or shares (Linux), as far as can be told now."""
    with open("/proc/self/smaps_rollup") as file:
        sizes = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in file if line.count(" kB")}
    shared = sizes["Shared_Clean"] + sizes["Shared_Dirty"]
    return max(0, peak_bytes() - shared)


def limit_memory(share=0.9):
    """From now on this process gets an error, and the machine stays usable, where it would need more than is free."""
    with open("/proc/meminfo") as file:
        free = next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
    limit = int(share * free)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
