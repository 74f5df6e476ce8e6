"""An option: on Locust's command line, in its configuration file and web form, by environment.

In Locust's parsed options a value stays the text that was given, checked: that is what Locust can
send to its workers and show in its form, where ``None`` is an empty field.
"""

from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Any

from loadgen.errors import UsageError

__all__ = ["Group", "Option"]


@dataclass(frozen=True, slots=True)
class Group:
    """What stands above some options in the help."""

    title: str
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the load generator.

    ``parse`` makes its value of a text, or raises UsageError; ``bool`` makes it a flag, which takes
    no text. ``field`` is where the value belongs, by default the name with underscores; what holds
    there without it is told as the default, unless ``default`` words it otherwise. With ``repeat``
    each text makes a tuple, and the value is all of them in one. The first of ``choices`` is the
    default. ``variable`` is by default ``LOADGEN_`` and the name; with ``variable_read_later``
    Locust's parser leaves it alone.
    """

    name: str
    metavar: str
    group: Group
    parse: Callable[[str], Any]
    help: str
    field: str = ""
    default: str | None = None
    choices: tuple[str, ...] | None = None
    repeat: bool = False
    in_form: bool = True
    variable: str = ""
    variable_read_later: bool = False

    @property
    def typed(self) -> str:
        """As it stands on the command line."""
        return f"--{self.name}"

    @property
    def dest(self) -> str:
        """Its name among Locust's parsed options."""
        return self.name.replace("-", "_")

    def add_to(self, group: Any, default: object) -> None:
        """Add it to a group of Locust's parser; ``default`` is what holds when it is not given."""
        variable = self.variable or f"LOADGEN_{self.dest.upper()}"
        told = self.default or _told(default)
        arguments: dict[str, Any] = {"metavar": self.metavar, "type": self._checked}
        if self.parse is bool:
            arguments = {"action": "store_true"}
        elif self.repeat:
            arguments["action"] = "append"
        elif self.choices:
            arguments["choices"] = list(self.choices)
        if not self.variable_read_later:
            arguments["env_var"] = variable
        in_words = f"{self.help} (default {told})" if told else self.help
        action = group.add_argument(self.typed, help=f"{in_words} [env {variable}]", **arguments)
        # Only the parser itself takes it as an argument.
        action.include_in_web_ui = self.in_form

    def is_given(self, found: Mapping[str, Any]) -> bool:
        """Whether Locust's parsed options have it; an empty field of the form has not."""
        given = found.get(self.dest)
        return given is not None and given is not False and given != "" and given != []

    def is_chosen(self, found: Mapping[str, Any]) -> bool:
        """Whether somebody wanted it: a list in the form gives its first choice by itself."""
        return self.is_given(found) and not (self.choices and found[self.dest] == self.choices[0])

    def value(self, given: object) -> object:
        """What a value among Locust's parsed options says.

        Raises:
            UsageError: it cannot be used, as a text from the form.
        """
        try:
            if self.repeat:
                items = given if isinstance(given, list) else [given]
                return tuple(chain.from_iterable(self.parse(str(item)) for item in items))
            return self.parse(str(given))
        except UsageError as error:
            raise UsageError(f"{self.typed}: {error}") from None

    def _checked(self, text: str) -> str:
        try:
            self.parse(text)
        except UsageError as error:
            raise ArgumentTypeError(str(error)) from None
        return text


def _told(value: object) -> str:
    """A default as one would type it; nothing where there is none."""
    if value is None or value is False or value == ():
        return ""
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:g}" if isinstance(value, float) else str(value)
