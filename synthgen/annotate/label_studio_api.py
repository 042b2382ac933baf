"""Talk to a Label Studio server: make a project, import tasks, export annotations, name its users."""

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from synthgen.errors import InputError, UserError
from synthgen.records import Json

TOKEN = "LABEL_STUDIO_API_KEY"
_SECONDS = 120.0
_AT_ONCE = 500


class Server:
    """Talk to one server. The token is read from the environment, and appears in no message. Use as a context manager.

    Both kinds of token work: a legacy token, and a personal access token, which is exchanged for a short-lived one.
    """

    def __init__(self, url: str) -> None:
        import httpx

        self.url = url.rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"--url {url}: not an address; give one such as http://127.0.0.1:8080")
        token = os.environ.get(TOKEN)
        if not token:
            raise UserError(
                f"{TOKEN} is not set; copy the token from Label Studio (Account & Settings) into this variable of the "
                "environment"
            )
        self._client = httpx.Client(base_url=self.url, timeout=_SECONDS)
        scheme = "Token"
        if token.count(".") == 2:  # a personal access token is a JWT
            token, scheme = str(self._call("POST", "/api/token/refresh/", {"refresh": token})["access"]), "Bearer"
        self._client.headers["Authorization"] = f"{scheme} {token}"

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._client.close()

    def create(self, title: str, config: str, instruction: str, overlap: int) -> int:
        """Create a project and return its number."""
        body = {
            "title": title[:50],
            "label_config": config,
            "expert_instruction": instruction,
            "show_instruction": True,
            "maximum_annotations": overlap,
        }
        return int(self._call("POST", "/api/projects/", body)["id"])

    def push(self, project: int, tasks: Sequence[Json]) -> None:
        for start in range(0, len(tasks), _AT_ONCE):
            self._call("POST", f"/api/projects/{project}/import", list(tasks[start : start + _AT_ONCE]))

    def pull(self, project: int) -> Any:
        """Return all tasks of a project with their annotations."""
        return self._call("GET", f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")

    def known(self, project: int) -> set[str]:
        """Return the ids of the samples that a project has already."""
        from synthgen.annotate.answered import SAMPLE

        return {str((one.get("data") or {}).get(SAMPLE)) for one in self.pull(project)}

    def people(self) -> dict[int, str]:
        """Return the name of each user by number: the e-mail address, or the user name."""
        return {int(one["id"]): str(one.get("email") or one.get("username")) for one in self._call("GET", "/api/users")}

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        import httpx

        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise UserError(
                f"{self.url}: Label Studio does not answer ({type(error).__name__}); start it, or correct --url"
            ) from error
        if answer.status_code == 401:
            raise UserError(f"{self.url}: refuses the token in {TOKEN}; copy a valid one from Account & Settings")
        if answer.status_code == 404 and "/projects/" in path:
            raise UserError(f"{self.url}: has no such project, or does not show it to you; give another --project")
        if answer.is_error:
            raise UserError(f"{self.url}{path}: answers {answer.status_code}: {answer.text[:300]}")
        try:
            return answer.json()
        except ValueError as error:
            raise UserError(f"{self.url}: answers something that is not JSON; is this Label Studio?") from error
