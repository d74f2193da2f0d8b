"""What `scripts/audit` makes of the answers of pip-audit and npm; nobody is asked here."""

from __future__ import annotations

from auditing.reports import Answer, npm_packages, python_packages

CLEAN = {"name": "anyio", "version": "4.16.0", "vulns": []}
BAD = {
    "name": "jinja2",
    "version": "2.10",
    "vulns": [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"], "aliases": ["CVE-2019-10906"]}],
}
SKIPPED = {"name": "typing-extensions", "skip_reason": "Dependency not found on PyPI"}


def test_a_known_vulnerability_is_named_with_its_mend() -> None:
    assert python_packages({"dependencies": [CLEAN, BAD]}, ["anyio", "Jinja2"]) == Answer(
        2, ("jinja2 2.10: PYSEC-2019-217, CVE-2019-10906; mended in 2.10.1",)
    )


def test_what_was_skipped_is_no_clean_bill() -> None:
    answer = python_packages({"dependencies": [CLEAN, SKIPPED]}, ["anyio", "typing_extensions"])
    assert answer == Answer(1, (), ("typing-extensions: Dependency not found on PyPI",))


def test_what_the_report_leaves_out_is_no_clean_bill() -> None:
    assert python_packages({}, ["anyio"]) == Answer(0, (), ("anyio: not in the report",))


def test_npm_s_report() -> None:
    report = {
        "auditReportVersion": 2,
        "vulnerabilities": {
            "nanoid": {"range": "<3.3.8", "via": [{"title": "Predictable results", "url": "https://x.example/1"}]},
            "postcss": {"range": "<8.4.31", "via": ["nanoid"]},
        },
        "metadata": {"dependencies": {"total": 14}},
    }
    assert npm_packages(report, "player") == Answer(14, ("nanoid <3.3.8: Predictable results (https://x.example/1)",))
    clean = {"vulnerabilities": {}, "metadata": {"dependencies": {"total": 14}}}
    assert npm_packages(clean, "player") == Answer(14)


def test_npm_that_could_not_ask_is_no_clean_bill() -> None:
    assert npm_packages({"message": "405 Method Not Allowed", "statusCode": 405}, "player").unasked == (
        "player: 405 Method Not Allowed",
    )
    assert npm_packages({}, "player").unasked == ("player: npm gave no report",)
    nothing = {"vulnerabilities": {}, "metadata": {"dependencies": {"total": 0}}}
    assert npm_packages(nothing, "player").unasked == ("player: npm looked at no package",)


def test_answers_add_up() -> None:
    assert Answer(1, ("a",), ("b",)) + Answer(2, ("c",), ()) == Answer(3, ("a", "c"), ("b",))
