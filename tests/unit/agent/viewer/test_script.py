from __future__ import annotations

from pathlib import Path

import pytest
from fakes.node import node

from agent.viewer import assets
from agent.viewer.script import linked

MODULES = {
    "entry.js": """import { twice } from "./twice.js";
import { ONE, Box } from "./one.js";
console.log(await Promise.resolve(twice(ONE)), new Box().value);
""",
    "twice.js": """import { ONE } from "./one.js";
const name = 2;
export function twice(n) { return name * n * ONE; }
""",
    "one.js": """export const ONE = 21;
const name = 5;
export class Box { value = name; }
export async function none() {}
""",
}


def test_modules_run_as_one_script_each_with_its_own_names(tmp_path: Path) -> None:
    (tmp_path / "all.mjs").write_text(linked("entry.js", MODULES.__getitem__))
    done = node(["all.mjs"], tmp_path)
    assert (done.stdout, done.stderr) == ("882 5\n", "")


def test_a_module_stands_once() -> None:
    assert linked("entry.js", MODULES.__getitem__).count("const ONE = 21") == 1


@pytest.mark.parametrize(
    "line",
    [
        "export default 3;",
        'import * as all from "./one.js";',
        'import "./one.js";',
        "export let mutable = 1;",
        'export { ONE } from "./one.js";',
    ],
)
def test_another_form_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="cannot be linked"):
        linked("a.js", {"a.js": f"{line}\n", **MODULES}.__getitem__)


def test_a_circle_is_refused() -> None:
    circle = {"a.js": 'import { b } from "./b.js";\n', "b.js": 'import { a } from "./a.js";\n'}
    with pytest.raises(ValueError, match=r"a\.js -> b\.js -> a\.js"):
        linked("a.js", circle.__getitem__)


def test_the_page_can_be_linked_and_parsed(tmp_path: Path) -> None:
    (tmp_path / "viewer.mjs").write_text(linked(assets.ENTRY, assets.read))
    done = node(["--check", "viewer.mjs"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
