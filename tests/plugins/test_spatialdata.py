"""The example for spatialdata, sopa and squidpy, with these packages."""

import importlib.util

import cv2
import numpy as np
import pytest
from skimage.draw import polygon2mask

import flowmask
from flowmask.cli import main
from flowmask.labels.metrics import f1_challenge
from tests.conftest import ROOT, needs_network
from train.simulate.modalities import simulate

spatialdata = pytest.importorskip("spatialdata", reason="spatialdata is not installed; `make spatial` runs this")
sopa = pytest.importorskip("sopa", reason="sopa is not installed; `make spatial` makes its environment and runs this")
squidpy = pytest.importorskip("squidpy", reason="squidpy is not installed; `make spatial` runs this")
from spatialdata.models import Image2DModel  # noqa: E402

pytestmark = needs_network


@pytest.fixture(scope="module")
def example():
    path = ROOT / "plugins/spatialdata/flowmask_spatialdata.py"
    spec = importlib.util.spec_from_file_location("flowmask_spatialdata", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cells():
    return simulate("fluorescence_nuclei", (150, 170), 7, 26).image


@pytest.fixture(scope="module")
def expected(cells):
    return flowmask.segment(cells, diameter=26)


@pytest.fixture(params=[None, [2]], ids=["one level", "pyramid"])
def sdata(request, cells):
    image = Image2DModel.parse(cells[None], dims=("c", "y", "x"), c_coords=["DAPI"], scale_factors=request.param)
    return spatialdata.SpatialData(images={"nuclei": image})


def test_cells_are_added_and_sopa_measures_them(example, sdata, cells, expected, tmp_path):
    result = example.add_cells(sdata, "nuclei", diameter=26)
    np.testing.assert_array_equal(result.labels, expected.labels)
    sopa.aggregate(sdata, min_intensity_ratio=0)
    sdata.write(tmp_path / "slide.zarr")
    read = spatialdata.read_zarr(tmp_path / "slide.zarr")
    np.testing.assert_array_equal(np.asarray(read["cells"].data), expected.labels)
    np.testing.assert_allclose(read["cells_boundaries"].area, expected.cells.area, rtol=0.01)
    means = [cells[expected.labels == cell].mean() for cell in expected.cells.label]
    # sopa counts every pixel that an outline touches, so also background beside the cell
    np.testing.assert_allclose(read["table"].to_df()["DAPI"], means, rtol=0.1)


def test_labels_of_a_run_and_their_table(example, cells, expected, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), cells)
    out = tmp_path / "out"
    assert main(["-i", str(tmp_path / "a.png"), "-o", str(out), "--diameter", "26", "--save", "zarr,anndata"]) == 0
    found = example.labels_of(out / "a_labels.ome.zarr")
    np.testing.assert_array_equal(np.asarray(found.data), expected.labels)
    anndata = pytest.importorskip("anndata")
    table = anndata.read_h5ad(out / "a_cells.h5ad")
    squidpy.gr.spatial_neighbors(table, coord_type="generic", n_neighs=1)
    places = expected.cells.centroid

    distances = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.diag(np.full(len(places), np.inf))
    neighbours = table.obsp["spatial_connectivities"].toarray()
    np.testing.assert_array_equal(neighbours.argmax(axis=1), distances.argmin(axis=1))


def test_sopa_runs_flowmask_on_its_patches(example, cells, expected):
    image = Image2DModel.parse(cells[None], dims=("c", "y", "x"), c_coords=["DAPI"])
    sdata = spatialdata.SpatialData(images={"nuclei": image})
    sopa.make_image_patches(sdata, patch_width=100, patch_overlap=40)
    sopa.segmentation.custom_staining_based(
        sdata, example.patch_method(diameter=26), channels=["DAPI"], clip_limit=0, gaussian_sigma=0
    )
    found = np.zeros(cells.shape, np.int32)
    for number, outline in enumerate(sdata["custom_boundaries"].geometry, start=1):
        found[polygon2mask(found.shape, np.array(outline.exterior.coords)[:, ::-1] - 0.5)] = number
    assert f1_challenge(expected.labels, found) > 0.9
