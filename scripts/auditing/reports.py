"""What pip-audit and npm audit answered. That nothing is known is one answer, that nobody was asked another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """`asked` = how many packages an advisory service answered for, `known` = one line a vulnerability, `unasked` = one
    line a package, or for all, of which nothing is known either way."""

    asked: int = 0
    known: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()

    def __add__(self, other: Answer) -> Answer:
        return Answer(self.asked + other.asked, self.known + other.known, self.unasked + other.unasked)


def python_packages(report: Mapping[str, Any], wanted: Iterable[str]) -> Answer:
    """pip-audit's `--format json` about the packages `wanted`; one that the report leaves out counts as not asked.

    Form of the report: `pip_audit/_format/json.py` of pypa/pip-audit.
    """
    known: list[str] = []
    unasked: list[str] = []
    asked: set[str] = set()
    for package in report.get("dependencies", ()):
        name = str(package["name"])
        if "skip_reason" in package:
            unasked.append(f"{name}: {package['skip_reason']}")
            continue
        asked.add(_folded(name))
        for found in package.get("vulns", ()):
            names = ", ".join([str(found["id"]), *map(str, found.get("aliases", ()))])
            fixed = ", ".join(map(str, found.get("fix_versions", ()))) or "no version yet"
            known.append(f"{name} {package['version']}: {names}; mended in {fixed}")
    told = {line.partition(":")[0] for line in unasked}
    left_out = [name for name in wanted if _folded(name) not in asked | {_folded(name) for name in told}]
    unasked += [f"{name}: not in the report" for name in left_out]
    return Answer(len(asked), tuple(known), tuple(unasked))


def npm_packages(report: Mapping[str, Any], name: str) -> Answer:
    """npm's `audit --json` about the package `name` and what it needs. Form: report version 2 of npm-audit-report."""
    if "vulnerabilities" not in report:
        return Answer(unasked=(f"{name}: {report.get('message') or 'npm gave no report'}",))
    total = report.get("metadata", {}).get("dependencies", {}).get("total", 0)
    if not total:
        return Answer(unasked=(f"{name}: npm looked at no package",))
    known = []
    for package, found in sorted(report["vulnerabilities"].items()):
        titles = [f"{via['title']} ({via['url']})" for via in found.get("via", ()) if isinstance(via, Mapping)]
        known += [f"{package} {found.get('range', '')}: {title}" for title in titles]
    return Answer(int(total), tuple(known))


def _folded(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
