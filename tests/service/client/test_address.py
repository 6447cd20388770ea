"""Where a client sends, with which key, and what it needs to be imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from service import client as uwe
from tests.service.client.servers import failing, ranked, refused


def test_the_key_is_sent_and_shown_nowhere() -> None:
    client, _, requests = failing(ranked("nurse"), refused(401), api_key="s3cret")
    client.rank("t", "nurse")
    assert requests[0].headers["Authorization"] == "Bearer s3cret"
    with pytest.raises(uwe.UnauthorisedError) as raised:
        client.rank("t", "nurse")
    assert "s3cret" not in repr(client) + str(raised.value) + repr(raised.value)


def test_without_a_key_none_is_sent_and_the_address_keeps_its_path() -> None:
    client, _, requests = failing(ranked("nurse"), url="http://gateway/uwe/")
    client.rank("t", "nurse")
    assert "Authorization" not in requests[0].headers
    assert str(requests[0].url) == "http://gateway/uwe/rank/t"


def test_an_address_without_a_protocol_is_refused() -> None:
    for client in (uwe.UweClient, uwe.AsyncUweClient):
        with pytest.raises(ValueError, match="is no address such as"):
            client("localhost:8000")


def test_httpx_is_all_that_a_client_needs() -> None:
    heavy = ["torch", "numpy", "pyarrow", "transformers", "fastapi", "starlette", "pydantic", "typer", "rich"]
    program = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({heavy}))\n"  # None makes their import fail
        "import service.client\n"
        "service.client.UweClient().close()\n"
        "ours = {name for name in sys.modules if name.split('.')[0] in ('uwe_core', 'training', 'service')}\n"
        "print(sorted(name for name in ours if not name.startswith('service.client')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "['service']\n"), done.stderr
