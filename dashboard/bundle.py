"""The page's modules as one script, for a file that is opened from disk and may load nothing.

A browser does not load modules from disk, and one within a page cannot import another that is. So
each module becomes a function that returns what it exports, in an order in which whatever is
imported is there. It knows the two forms that our modules keep to: ``import { a, b as c } from
"./name.js";``, and ``export`` in front of a function, class or constant.
"""

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["bundled"]

_IMPORT: Final = re.compile(r'^import \{([^{}]*)\} from "\./([\w-]+\.js)";$', re.M)
_EXPORT: Final = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.M)
_LEFT_OVER: Final = re.compile(r"^(?:import|export)\b.*", re.M)


def bundled(modules: Mapping[str, str], entry: str) -> str:
    """``entry`` and all that it imports, as a script that runs by itself.

    Raises:
        ValueError: a module is missing, imports itself in a circle, or has another form.
    """
    ordered: dict[str, str] = {}
    _add(modules, entry, ordered, ())
    body = "".join(
        f'modules["{name}"] = (() => {{\n{text}}})();\n' for name, text in ordered.items()
    )
    return f'"use strict";\n(() => {{\nconst modules = {{}};\n{body}}})();\n'


def _add(
    modules: Mapping[str, str], name: str, ordered: dict[str, str], above: tuple[str, ...]
) -> None:
    if name in above:
        raise ValueError(f"modules import each other: {' > '.join((*above, name))}")
    if name in ordered:
        return
    if name not in modules:
        raise ValueError(f"{above[-1] if above else 'nobody'} imports {name}, which is not there")
    for found in _IMPORT.finditer(modules[name]):
        _add(modules, found[2], ordered, (*above, name))
    ordered[name] = _as_function_body(name, modules[name])


def _as_function_body(name: str, text: str) -> str:
    exported = _EXPORT.findall(text)
    text = _EXPORT.sub("", _IMPORT.sub(_constants, text))
    left = _LEFT_OVER.search(text)
    if left is not None:
        raise ValueError(f"{name}: cannot be bundled: {left[0]}")
    return f"{text}return {{ {', '.join(exported)} }};\n"


def _constants(found: re.Match[str]) -> str:
    return f'const {{{found[1].replace(" as ", ": ")}}} = modules["{found[2]}"];'
