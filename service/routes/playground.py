"""`/`: the playground, with its files."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from service.playground import FILES, FOLDER, PAGE, PAGE_FILE

# Named one by one: nothing else that lies in a package is ever sent.
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def add_playground(app: FastAPI) -> None:
    """Serve the page and its files."""
    files = {file.name: file for file in FOLDER.iterdir() if file.suffix in _TYPES}

    async def page() -> FileResponse:
        return FileResponse(PAGE_FILE, media_type="text/html")

    async def page_file(name: str) -> FileResponse:
        if name not in files:
            raise HTTPException(404)
        return FileResponse(files[name], media_type=_TYPES[files[name].suffix])

    app.add_api_route(PAGE, page, include_in_schema=False)
    app.add_api_route(f"{FILES}/{{name}}", page_file, include_in_schema=False)
