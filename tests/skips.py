"""Whether every test that one run skipped has been run by another, from pytest's reports.

    python tests/skips.py REPORT.xml…

Reads what ``pytest --junitxml=REPORT.xml`` writes. A test that was skipped in every report that has
it must say why, and the reason must be on the list below; else this prints the test and ends with
status 1. So a test that asks for a package has to run somewhere, although not everywhere.
"""

from __future__ import annotations

import collections
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path

# Each is matched against the whole reason. What can be installed is no reason.
ALLOWED = [
    "needs POSIX .*|sends itself a signal|sends SIGINT|needs fork.*|no (fork|spawn) here",
    "needs (GNU ld and glibc|glibc's libmvec|an x86-64 processor)|x86 (only|Linux only)",
    "needs interval timers|needs RLIMIT_AS|reads /proc|reads x86-64 code",
    "needs the threads of /proc|memory is (read from /proc|measured by Linux)",
    "caches are not described in /sys",
    # These need a right, or data, that a machine may not have.
    "needs the right to mount a small file system|needs PYBACKPROP_MNIST=folder|needs two CPUs",
]


def skipped_everywhere(reports: Iterable[Path]) -> dict[str, str]:
    """Return the reason of every test that ran in no report."""
    ran: set[str] = set()
    skipped: dict[str, str] = {}
    for report in reports:
        for case in ET.parse(report).iter("testcase"):
            # A module that is skipped as a whole is one case without a class.
            name = "::".join(filter(None, [case.get("classname"), case.get("name")]))
            skip = case.find("skipped")
            if skip is None or skip.get("type") == "pytest.xfail":
                ran.add(name)
            else:
                skipped[name] = reason_of(skip)
    modules = {name.partition("::")[0] for name in ran}
    return {name: why for name, why in skipped.items() if name not in ran | modules}


def reason_of(skip: ET.Element) -> str:
    """Return the reason alone: that of a whole module is within the text of its exception."""
    found = re.search(r"Skipped: (.*?)[\"']\)$", skip.text or "", re.DOTALL)
    return found[1] if found else skip.get("message", "")


def is_allowed(reason: str) -> bool:
    return any(re.fullmatch(pattern, reason) for pattern in ALLOWED)


def main(arguments: list[str]) -> int:
    if not arguments:
        print("tests/skips.py needs at least one report of pytest --junitxml", file=sys.stderr)
        return 2
    found = skipped_everywhere(map(Path, arguments))
    refused = {name: why for name, why in found.items() if not is_allowed(why)}
    for name, why in sorted(refused.items()):
        print(f"ran nowhere: {name}: {why or 'no reason given'}")
    reasons = collections.Counter(why for why in found.values() if is_allowed(why))
    for why, count in sorted(reasons.items()):
        print(f"skipped for an allowed reason: {count} of {why!r}")
    print(f"-> {len(refused)} tests ran nowhere, {sum(reasons.values())} for an allowed reason")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
