"""The page's modules as one script, for a page that is one file and so has nothing to import from.

The modules keep to a form that needs no parser: imports are `import { a, b } from "./file.js";` at the beginning of a
line, exports stand before `function`, `class` or `const`, nothing is renamed, no two modules import each other. Only
the entry may await at its top level.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_IMPORT = re.compile(r'^import \{([^{}]*)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def linked(entry: str, read: Callable[[str], str]) -> str:
    """The entry with all that it imports before it, each imported module in a function of its own.

    Raises ValueError for a module that does not keep to the form.
    """
    done: dict[str, str] = {}
    body, _ = _body(entry, read, done, ())
    return "\n".join([*done.values(), body])


def _body(name: str, read: Callable[[str], str], done: dict[str, str], above: tuple[str, ...]) -> tuple[str, list[str]]:
    """A module's text without the words `import` and `export`, and what it exports; its imports are put in `done`."""
    if name in above:
        raise ValueError(f"{' -> '.join([*above, name])}: these modules import each other.")

    def imported(match: re.Match[str]) -> str:
        names, file = match.groups()
        if file not in done:
            body, exports = _body(file, read, done, (*above, name))
            done[file] = f"const {_constant(file)} = (() => {{\n{body}\nreturn {{ {', '.join(exports)} }};\n}})();"
        return f"const {{{names}}} = {_constant(file)};\n"

    text = read(name)
    body = _EXPORT.sub("", _IMPORT.sub(imported, text))
    left = _LEFT.search(body)
    if left:
        raise ValueError(f"{name}: cannot be linked: {left[0]}")
    return body, _EXPORT.findall(text)


def _constant(file: str) -> str:
    return "$" + re.sub(r"\W", "_", file)
