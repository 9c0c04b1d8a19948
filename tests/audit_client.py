"""pip-audit where the index knows the newest release of a project only. `python -m tests.audit_client …`

PyPI is asked for one release (/pypi/NAME/VERSION/json). A mirror may have no such page, but the project's own
(/pypi/NAME/json), whose advisories are those of the newest release: that is the answer for whoever has it,
and none for whoever has an older one. Arguments and output are pip-audit's own.
"""

import importlib
from typing import Any

import requests
from packaging.version import Version


class NewestToo(requests.Session):
    """Asks for the project where the release has no page."""

    def get(self, url: str | bytes, **options: Any) -> requests.Response:
        """As ever; 404 stays 404 unless the page of the project speaks of the very same release."""
        answer = super().get(url, **options)
        if answer.status_code != requests.codes.not_found:
            return answer
        project, version, page = str(url).rsplit("/", 2)
        newest = super().get(f"{project}/{page}", **options)
        if newest.ok and Version(newest.json()["info"]["version"]) == Version(version):
            return newest
        return answer


if __name__ == "__main__":
    requests.Session = NewestToo  # type: ignore[misc]
    # Only now, and by name: it is installed for this alone.
    importlib.import_module("pip_audit._cli").audit()
