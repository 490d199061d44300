"""One task on this machine; prints the state it ended in, what ran it, and what it said."""

import minorch as mo

with mo.Cluster() as cluster:
    job = cluster.submit(mo.Task("hello", image="busybox", command=["echo", "hello, world"]))
    state = job.wait(timeout=60)
    said = job.tasks["hello"].logs().strip()
    print(f"{state} on {cluster.runtime}: {said}")

assert (state, said) == ("COMPLETED", "hello, world")
