"""What each kind of error becomes over HTTP, in the page's server and in MONAI Label's."""

import errno

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

from bundle.annotate.error_answers import answer_errors
from bundle.errors import DataError, StorageError


@pytest.mark.parametrize(
    "error, status, told",
    [
        (StorageError("clicks.sqlite: cannot be written"), 507, "make room"),
        (OSError(errno.ENOSPC, "No space left on device"), 507, "make room"),
        (OSError(errno.EIO, "Input/output error"), 500, "failed"),
        (DataError("points.json: malformed"), 400, "points.json"),
        (RuntimeError("secret\nof the server"), 500, "failed"),
    ],
)
def test_each_error_is_one_line_with_its_status(error, status, told):
    app = FastAPI()
    answer_errors(app)

    @app.exception_handler(DataError)  # as an application has of its own: the more precise class wins
    def unusable(request, error):
        return JSONResponse({"detail": str(error)}, 400)

    @app.get("/")
    def fail():
        raise error

    answer = TestClient(app, raise_server_exceptions=False).get("/")
    assert answer.status_code == status
    assert told in answer.json()["detail"] and "\n" not in answer.json()["detail"]
    assert "secret" not in answer.text
