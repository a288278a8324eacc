"""The example of an HTTP server."""

import importlib.util
import io
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tifffile

import flowmask
from tests.conftest import ROOT, needs_network
from tests.reference.later import later
from train.simulate.modalities import simulate

testclient = later("fastapi.testclient", "the example of a server needs FastAPI")
pytestmark = needs_network


@pytest.fixture(scope="module")
def client():
    spec = importlib.util.spec_from_file_location("server_app", ROOT / "plugins/server/app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return testclient().TestClient(module.app)


@pytest.fixture(scope="module")
def image():
    return simulate("fluorescence_nuclei", (150, 170), 7, 26).image


def post(client, image, **query):
    data = cv2.imencode(".png", image)[1].tobytes()
    return client.post("/segment", files={"image": ("cells.png", data)}, params=query)


@pytest.mark.slow
def test_labels_are_those_of_the_engine_also_from_several_threads(client, image):
    expected = flowmask.segment(image, diameter=26).labels
    with ThreadPoolExecutor(3) as pool:
        for answer in pool.map(lambda _: post(client, image, diameter=26), range(3)):
            assert answer.status_code == 200
            np.testing.assert_array_equal(tifffile.imread(io.BytesIO(answer.content)), expected)
            assert answer.headers["X-Cells"] == str(expected.max())
            assert answer.headers["X-Verdict"] in ("good", "check", "poor")


def test_a_bad_file_and_a_bad_option_are_refused_in_one_sentence(client, image):
    answer = client.post("/segment", files={"image": ("notes.png", b"hello")})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("notes.png: it is not a TIFF, PNG, JPEG, BMP, CZI, ND2 or LIF image")
    assert post(client, image, diameter=-1).status_code == 422
