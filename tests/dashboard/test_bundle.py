import json
import re

import pytest

from dashboard.bundle import bundled
from dashboard.page import load_page


def test_each_module_is_there_once_and_before_whoever_imports_it() -> None:
    modules = {
        "a.js": 'import { b } from "./b.js";\nimport { c as d } from "./c.js";\nb(d);\n',
        "b.js": 'import { c } from "./c.js";\nexport function b() { return c; }\n',
        "c.js": "export const c = 1;\nexport class C {}\nexport async function e() {}\n",
        "unused.js": "export const never = 1;\n",
    }
    assert bundled(modules, "a.js") == (
        '"use strict";\n'
        "(() => {\n"
        "const modules = {};\n"
        'modules["c.js"] = (() => {\n'
        "const c = 1;\nclass C {}\nasync function e() {}\nreturn { c, C, e };\n"
        "})();\n"
        'modules["b.js"] = (() => {\n'
        'const { c } = modules["c.js"];\nfunction b() { return c; }\nreturn { b };\n'
        "})();\n"
        'modules["a.js"] = (() => {\n'
        'const { b } = modules["b.js"];\nconst { c: d } = modules["c.js"];\nb(d);\nreturn {  };\n'
        "})();\n"
        "})();\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('import { x } from "./none.js";', "a.js imports none.js, which is not there"),
        ('import { x } from "./b.js";', "import each other: a.js > b.js > a.js"),
        ('import x from "./c.js";', "a.js: cannot be bundled: import x"),
        ('import "./c.js";', "cannot be bundled: import"),
        ("export default 1;", "cannot be bundled: export default 1;"),
        ("export let x = 1;", "cannot be bundled: export let"),
        ("export { x };", "cannot be bundled: export { x }"),
    ],
)
def test_what_it_does_not_know_is_refused(text: str, message: str) -> None:
    modules = {"a.js": text, "b.js": 'import { y } from "./a.js";', "c.js": ""}
    with pytest.raises(ValueError, match=re.escape(message)):
        bundled(modules, "a.js")


@pytest.mark.parametrize("entry", ["app.js", "report.js"])
def test_the_pages_modules_can_be_bundled(entry: str) -> None:
    files = {name: asset.body.decode() for name, asset in load_page({}).assets.items()}
    text = bundled(files, entry)
    names = re.findall(r'^modules\["([\w.-]+)"\] = ', text, re.M)
    assert names[-1] == entry
    assert len(names) == len(set(names)) > 10
    assert not re.search(r"^(import|export)\b", text, re.M)
    for name, asked in re.findall(r"^const \{ (.+) \} = (modules\[.+\]);$", text, re.M):
        module = json.loads(asked.removeprefix("modules[").removesuffix("]"))
        body = text.split(f'modules["{module}"] = (() => {{\n')[1].split("\n})();\n")[0]
        returned = re.findall(r"\w+", body.rpartition("return {")[2])
        assert set(re.findall(r"(\w+)(?::[^,]+)?(?:, |$)", name)) <= set(returned)


def test_a_report_has_no_module_that_asks_the_interface() -> None:
    files = {name: asset.body.decode() for name, asset in load_page({}).assets.items()}
    text = bundled(files, "report.js")
    assert 'modules["api.js"]' not in text
    assert not re.search(r"\b(fetch|EventSource|XMLHttpRequest|WebSocket)\b", text)
