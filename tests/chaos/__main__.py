"""Break a cluster on real engines, again and again, and hold what it reports against what happened.

    python -m tests.chaos [--cycles 50] [--seed 1] [--fault WORDS]

Prints a table, and exits with 1 if anything was lost, doubled, reported wrongly or left behind.

*Recovered* is the time from the fault, with the time that it lasts, until every task of the cycle is over as
it must be, the service is at its count, both nodes are ready, and nothing runs that should not.  *Lost*: did
not get done, or is reported otherwise than it was.  *Doubled*: began twice, or ran side by side.  *Given up*:
ran side by side because the manager had to give a node up, which is allowed.  *Again*: ended well or began,
unseen by anybody, and was made again, which cannot be helped.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time

from tests.chaos.campaign import Campaign, Outcome, order, table
from tests.chaos.faults import FAULTS
from tests.chaos.private_engine import image_tar, why_not
from tests.chaos.rig import Rig, Silent
from tools import engine


def say(words: str) -> None:
    """Print at once."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault", default="", help="only faults whose names have these words")
    options = parser.parse_args()
    url = os.environ.get("DOCKER_HOST") or f"unix://{engine.DEFAULT_SOCKET}"
    reason = why_not()
    if reason is None and not engine.answers(engine.socket_of(url)):
        reason = f"no engine answers at {url} to take the image from (`nox -s engine` starts one)"
    if reason is not None:
        say(f"{reason}: nothing was tried")
        return 1 if os.environ.get("MINORCH_REQUIRE_DOCKER") == "1" else 0
    draw = random.Random(options.seed)
    names = [name for name in FAULTS if options.fault in name]
    faults = (
        order(options.cycles, draw)
        if not options.fault
        else [draw.choice(names) for _ in range(options.cycles)]
    )
    outcomes: list[Outcome] = []
    wrong: list[str] = []
    began = time.monotonic()
    image = image_tar(engine.socket_of(url))
    with Rig(image) as rig:
        try:
            campaign = Campaign(rig, draw)
            for number, fault in enumerate(faults, 1):
                outcome = campaign.cycle(fault)
                outcomes.append(outcome)
                say(
                    f"{number:4} {fault:37} {outcome.recovered_s:6.1f} s  {'; '.join(outcome.verdict.faults)}"
                )
                wrong += outcome.verdict.faults
            wrong += campaign.finish()
        except Silent as error:
            wrong.append(str(error))
            say(wrong[-1])  # at once, in case there is trouble with the end as well
    say(f"\n{table(outcomes)}\n")
    runs = rig.ledger.runs
    say(
        f"seed {options.seed}: {len(outcomes)} cycles, {len(runs)} runs in {time.monotonic() - began:.0f} s; "
        f"{len(rig.forgotten())} were forgotten by their engines in the middle of their start"
    )
    for words in wrong:
        say(f"WRONG: {words}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
