"""Prompt files: sandboxed, strict Jinja, one folder a kind of task.

A template that the folder lacks is taken from `prompts/common`. A file has named blocks, one a
chat turn. A missing variable raises, and data is only ever a value: it is never compiled as a
template.
"""

import hashlib
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from synthgen.assets import root
from synthgen.errors import InputError


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with the task's paths shut too: their methods read and write files."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return not isinstance(obj, PurePath) and super().is_safe_attribute(obj, attr, value)


class Prompts:
    """The templates of one folder.

    Raises InputError for a folder without `generate.jinja`, a syntax error, or a missing variable.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "generate.jinja").is_file():
            raise InputError(f"task.prompts: {folder} has no generate.jinja")
        self._environment = _Sandbox(
            loader=FileSystemLoader([folder, root() / "prompts" / "common"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,  # the output is a prompt, not a page
        )
        self._template = cache(self._environment.get_template)

    def path(self, template: str) -> Path:
        """The file that a template is read from. Raises InputError where there is none."""
        for folder in (self.folder, root() / "prompts" / "common"):
            if (path := folder / f"{template}.jinja").is_file():
                return path
        raise InputError(f"task.prompts: {self.folder} has no {template}.jinja")

    def render(self, template: str, block: str, **variables: Any) -> str:
        """The text of one block of `template`.jinja, without surrounding white space."""
        path = self.path(template)
        try:
            compiled = self._template(path.name)
            if block not in compiled.blocks:
                raise InputError(f"{path}: lacks the block '{block}'")
            return "".join(compiled.blocks[block](compiled.new_context(variables))).strip()
        except InputError:
            raise
        except TemplateSyntaxError as error:
            raise InputError(f"{error.filename or path}:{error.lineno}: {error.message}") from error
        except Exception as error:  # whatever a template does wrong is the template's fault
            raise InputError(f"{path}, block '{block}': {error}") from error

    def hash(self, template: str) -> str:
        """64-bit hex hash of the template's source; stored with every sample made from it."""
        source = self.path(template).read_bytes()
        return hashlib.blake2b(source, digest_size=8).hexdigest()

    def fingerprint(self) -> dict[str, str]:
        """Template name to hash, for the run's fingerprint."""
        folders = (self.folder, root() / "prompts" / "common")
        names = sorted({path.stem for folder in folders for path in folder.glob("*.jinja")})
        return {name: self.hash(name) for name in names}
