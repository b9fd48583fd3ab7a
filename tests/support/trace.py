#!/usr/bin/python3
"""Prints requirement id -> tests that show it, from docs/requirements.md and the NFR ids named under tests/. "NFR-SEC-39 (in part)" is
a test that shows something of it.
Exit 1 when a test names an id that docs/requirements.md does not list."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ID = re.compile(r"(NFR-[A-Z]+(?:-[A-Z]+)*(?:-\d+)?)( \(in part\))?")
SUFFIXES = {".c", ".py", ".mjs", ".sh"}


def known():
    rows = (ROOT / "docs/requirements.md").read_text().splitlines()
    return [m.group(1) for r in rows if (m := re.match(r"\| (NFR-\S+) \|", r))]


def shown():
    """({id: tests}, {id: tests that show it in part})"""
    found, parts = {}, {}
    for path in sorted((ROOT / "tests").rglob("*")):
        if path.suffix in SUFFIXES and path.name != "trace.py" and "node_modules" not in path.parts:
            for name, part in ID.findall(path.read_text(errors="replace")):
                (parts if part else found).setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found, parts


def main():
    ids, (tests, parts) = known(), shown()
    for name in ids:
        part = f"in part: {', '.join(sorted(parts[name]))}" if name in parts else "not yet"
        print(f"{name:24} {', '.join(sorted(tests.get(name, []))) or part}")
    foreign = sorted((set(tests) | set(parts)) - set(ids))
    for name in foreign:
        print(f"unknown id {name} in {', '.join(sorted(tests.get(name, set()) | parts.get(name, set())))}", file=sys.stderr)
    covered = sum(1 for name in ids if name in tests)
    some = sum(1 for name in ids if name in parts and name not in tests)
    print(f"{covered} of {len(ids)} requirements are shown by a test, {some} in part")
    return 1 if foreign else 0


sys.exit(main())
