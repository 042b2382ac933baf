"""Render prompt files: sandboxed, strict Jinja, one folder per kind of task.

A template that the folder lacks comes from `prompts/common`, for Chinese tasks from `prompts/zh/common`. A file has named
blocks, one per chat turn. A missing variable raises an error. Data is only ever a value and is never compiled as a template.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from jinja2 import ChoiceLoader, DictLoader, FileSystemLoader, StrictUndefined, TemplateSyntaxError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from synthgen.errors import InputError
from synthgen.tasks.assets import root
from synthgen.tasks.criteria import in_chinese

_LONGEST = 1_000_000  # most characters or entries that one expression may create


class Sandbox(ImmutableSandboxedEnvironment):
    """Restrict Jinja's sandbox further: no methods of the task's paths, which read and write files, and no large
    values.

    A template that loops for hours is not stopped: it runs before the run starts, where the user sees it.
    """

    intercepted_binops = frozenset(["*", "**"])

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return not isinstance(obj, PurePath) and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        for one, other in ((left, right), (right, left)):
            if isinstance(one, str | list | tuple) and isinstance(other, int) and len(one) * other > _LONGEST:
                raise SecurityError(f"unsafe: more than {_LONGEST:,} characters or entries at once")
        if operator == "**" and max(abs(left), abs(right)) > 1000:
            raise SecurityError("unsafe: a power of numbers above 1,000")
        return super().call_binop(context, operator, left, right)


class Prompts:
    """Render the templates of one folder.

    `recorded` has the texts that a run started with, by template. They stand for the files that ship with synthgen, which
    may have changed since, and never for the user's own files. Raise InputError for a folder without `generate.jinja`,
    a syntax error, or a missing variable.
    """

    def __init__(self, folder: Path, language: str = "en", recorded: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        shipped = root() / "prompts"
        self._places = (folder, *([shipped / "zh" / "common"] if in_chinese(language) else []), shipped / "common")
        if not (folder / "generate.jinja").is_file():
            raise InputError(f"task.prompts: {folder} has no generate.jinja")
        self._recorded = {
            name: text
            for name, text in (recorded or {}).items()
            if self.has(name) and self.path(name).resolve().is_relative_to(shipped.resolve())
        }
        recorded_files = DictLoader({f"{name}.jinja": text for name, text in self._recorded.items()})
        self._environment = Sandbox(
            loader=ChoiceLoader([recorded_files, FileSystemLoader(self._places)]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,  # the output is a prompt, not HTML
        )
        self._template = cache(self._environment.get_template)

    def path(self, template: str) -> Path:
        """Return the file of a template. Raise InputError if there is none."""
        for folder in self._places:
            if (path := folder / f"{template}.jinja").is_file():
                return path
        raise InputError(f"task.prompts: {self.folder} has no {template}.jinja")

    def has(self, template: str) -> bool:
        """Return True if the folder, or the shipped prompts, have this template."""
        return any((folder / f"{template}.jinja").is_file() for folder in self._places)

    def render(self, template: str, block: str, **variables: Any) -> str:
        """Render one block of `template`.jinja without surrounding white space."""
        try:  # uses the cache before the disk, because this runs several times per candidate
            compiled = self._template(f"{template}.jinja")
            if block not in compiled.blocks:
                raise InputError(f"{self.path(template)}: the block '{block}' is missing")
            context = compiled.new_context({**self._environment.globals, **variables}, shared=True)
            return "".join(compiled.blocks[block](context)).strip()
        except InputError:
            raise
        except TemplateSyntaxError as error:
            raise InputError(f"{error.filename or self.path(template)}:{error.lineno}: {error.message}") from error
        except Exception as error:  # a template can raise any exception
            raise InputError(f"{self.path(template)}, block '{block}': {error}") from error

    def has_block(self, template: str, block: str) -> bool:
        """Return True if an existing template has this block. Raise InputError if the template cannot be read."""
        self.path(template)
        try:
            return block in self._template(f"{template}.jinja").blocks
        except TemplateSyntaxError as error:
            raise InputError(f"{error.filename or self.path(template)}:{error.lineno}: {error.message}") from error

    def text(self, template: str) -> str:
        """Return the source of a template. Raise InputError if there is none."""
        recorded = self._recorded.get(template)
        return self.path(template).read_text(encoding="utf-8") if recorded is None else recorded

    def changed(self) -> list[str]:
        """Return the templates whose shipped file is not the text that the run started with."""
        return [name for name, text in self._recorded.items() if text != self.path(name).read_text(encoding="utf-8")]

    def hash(self, template: str) -> str:
        """Return the 64-bit hex hash of the template's source, which every sample made from it stores."""
        recorded = self._recorded.get(template)
        source = self.path(template).read_bytes() if recorded is None else recorded.encode()
        return hashlib.blake2b(source, digest_size=8).hexdigest()

    def fingerprint(self) -> dict[str, str]:
        """Return the hash of each template by name, for the run's fingerprint."""
        names = sorted({path.stem for folder in self._places for path in folder.glob("*.jinja")})
        return {name: self.hash(name) for name in names}
