"""The label file: name, type, compression, whole or not at all."""

import numpy as np
import pytest
import tifffile

from infer.errors import OutputError
from infer.write import label_path, write_labels


def test_the_name_ends_at_the_first_dot(tmp_path):
    assert label_path(tmp_path, "cell_00001.png").name == "cell_00001_label.tiff"
    assert label_path(tmp_path, "slide.ome.tif").name == "slide_label.tiff"


@pytest.mark.parametrize(("cells", "dtype"), [(3, np.int16), (32_767, np.int16), (32_768, np.int32)])
def test_int16_as_long_as_it_fits(tmp_path, cells, dtype, caplog):
    labels = np.arange(200 * 200, dtype=np.int32).reshape(200, 200) % (cells + 1)
    write_labels(tmp_path / "a_label.tiff", labels, cells)
    with tifffile.TiffFile(tmp_path / "a_label.tiff") as file:
        page = file.pages[0]
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.dtype == dtype
        np.testing.assert_array_equal(page.asarray(), labels)
    assert ("int32" in caplog.text) == (dtype == np.int32)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match="a_label.tiff: it cannot be written"):
        write_labels(tmp_path / "absent" / "a_label.tiff", np.zeros((3, 3), np.int32), 0)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_labels(tmp_path / "a_label.tiff", np.ones((3, 3), np.int32), 1)

    def full_disk(path, *_, **__):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        write_labels(tmp_path / "a_label.tiff", np.zeros((3, 3), np.int32), 0)
    assert [p.name for p in tmp_path.iterdir()] == ["a_label.tiff"]
    assert tifffile.imread(tmp_path / "a_label.tiff").max() == 1
