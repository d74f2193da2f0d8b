"""Known vulnerabilities of the dependencies: `scripts/audit`."""
