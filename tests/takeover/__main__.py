"""``python -m tests.takeover --times 50 --seed 1``: strike leaders on a PostgreSQL of its own."""

from __future__ import annotations

import argparse
import sys
import time

from tests.private_postgresql import missing, private_server
from tests.takeover.campaign import Campaign, Fault


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.takeover", description=__doc__)
    parser.add_argument("--times", type=int, default=50, help="how many leaders are killed or stopped")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lease-s", type=float, default=3.0)
    options = parser.parse_args()
    reason = missing()
    if reason is not None:
        say(reason)
        return 2
    began = time.monotonic()

    def tell(fault: Fault) -> None:
        say(
            f"{fault.how} {fault.where}: the other one led after {fault.lead_s:.3f} s, "
            f"and had acknowledged a change after {fault.answer_s:.3f} s"
        )

    with private_server() as server, Campaign(server, seed=options.seed, lease_s=options.lease_s) as campaign:
        campaign.strike_often(options.times, tell)
        campaign.bring_to_an_end()
        say(f"seed {options.seed}, {time.monotonic() - began:.0f} s:\n{campaign.summary()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
