"""The boxes family: network, targets and loss; networks that are exported, trained and run by the engine."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from skimage.measure import regionprops

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
import cv2  # noqa: E402
import onnxruntime  # noqa: E402

from export.cli import main as export  # noqa: E402
from export.families import find_family as find_export  # noqa: E402
from export.onnx_file import to_onnx, write_onnx  # noqa: E402
from export.parity import TOLERANCE  # noqa: E402
from export.source import Source  # noqa: E402
from flowmask.api import load_network, segment  # noqa: E402
from flowmask.images.image import as_image  # noqa: E402
from flowmask.labels.metrics import f1  # noqa: E402
from flowmask.options import Segmentation  # noqa: E402
from flowmask.pipeline import segment_image  # noqa: E402
from train.checkpoint import load, save  # noqa: E402
from train.config import Fresh, Split  # noqa: E402
from train.data.prepared import network_input, write_sample  # noqa: E402
from train.families.boxes.family import FAMILY, make_target  # noqa: E402
from train.families.boxes.fcos import STRIDES, Dense, positions, scores_of  # noqa: E402
from train.families.boxes.loss import (  # noqa: E402
    Guided,
    boxes_loss,
    generalised_iou,
    guided_forward,
    mask_iou,
)
from train.families.boxes.mask import pool  # noqa: E402
from train.families.boxes.network import Masks, SlimCenterMask  # noqa: E402
from train.families.boxes.onnx_ops import SAMPLES, iou_matrix, roi_align, suppress  # noqa: E402
from train.families.boxes.targets import RADIUS, RANGES, assign, cells_of, level_ranges, masks_in  # noqa: E402
from train.families.boxes.vovnet import SIZES, VoVNet  # noqa: E402
from train.recipes.nuclei_boxes import RECIPE  # noqa: E402
from train.run import contract_in_training, train_recipe  # noqa: E402
from train.simulate import simulate  # noqa: E402
from train.validate import TorchNetwork  # noqa: E402

THIN = (32, 8)
ABOUT = {"channels": "rgb", "mean_diameter": 30.0, "train_diameter": 30.0, "licence": "CC0", "data": "none"}


def finding_network(channels=3, seed=0):
    """Return a network with random weights that finds many boxes with many masks."""
    torch.manual_seed(seed)
    network = SlimCenterMask(channels, THIN).train()
    with torch.no_grad():
        network.levels(torch.rand(2, channels, 64, 64))
        detector = network.detector
        for layer, weight, bias in (
            (detector.logit, 20, 0.5),
            (detector.centreness, 20, 0),
            (detector.distances, 30, 1.5),
        ):
            layer.weight *= weight
            layer.bias.fill_(bias)
        network.mask.output.weight *= 1000
        network.iou.output.weight *= 100
        network.iou.output.bias.fill_(0.5)
    return network.eval()


def random_boxes(count, seed, side=64):
    rng = np.random.default_rng(seed)
    first, sizes = rng.uniform(-10, side - 4, (count, 2)), rng.uniform(2, side / 2, (count, 2))
    return torch.from_numpy(np.concatenate([first, first + sizes], axis=1).astype(np.float32))


def run_operator(name, inputs, **attributes):
    """Run one operator of ONNX by ONNX Runtime."""
    kinds = {np.dtype(np.float32): onnx.TensorProto.FLOAT, np.dtype(np.int64): onnx.TensorProto.INT64}
    names = [f"i{n}" for n in range(len(inputs))]
    node = onnx.helper.make_node(name, names, ["out"], **attributes)
    tensors = [
        onnx.helper.make_tensor_value_info(n, kinds[v.dtype], v.shape) for n, v in zip(names, inputs, strict=True)
    ]
    kind = onnx.TensorProto.INT64 if name == "NonMaxSuppression" else onnx.TensorProto.FLOAT
    out = onnx.helper.make_tensor_value_info("out", kind, None)
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", tensors, [out]), opset_imports=[opset], ir_version=8
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, inputs, strict=True)))[0]


@pytest.mark.parametrize("scale", [1.0, 1 / 8])
def test_roi_align_is_that_of_onnx_runtime(scale):
    features = torch.rand(3, 5, 20, 24)
    boxes, images = random_boxes(40, 1) * (1 if scale < 1 else 0.4), torch.arange(40) % 3
    expected = run_operator(
        "RoiAlign", [features.numpy(), boxes[:, [1, 0, 3, 2]].contiguous().numpy(), images.numpy()],
        coordinate_transformation_mode="half_pixel", mode="avg", output_height=7, output_width=7,
        sampling_ratio=SAMPLES, spatial_scale=scale,
    )  # fmt: skip
    np.testing.assert_allclose(roi_align(features, images, boxes, 7, scale).numpy(), expected, atol=1e-5)


def test_nms_is_that_of_onnx_runtime():
    boxes = torch.stack([random_boxes(300, seed) for seed in (2, 3)])
    scores = torch.rand(2, 300) - 0.3
    expected = run_operator(
        "NonMaxSuppression",
        [boxes.numpy(), scores[:, None].numpy(), np.array([1000]), *(np.array([v], np.float32) for v in (0.5, 0))],
    )
    selected = suppress(boxes, scores, 0.5)
    assert 0 < len(selected) < 0.9 * int((scores > 0).sum())
    np.testing.assert_array_equal(selected.numpy(), expected[:, [0, 2]])
    assert len(suppress(boxes, 0 * scores, 0.5)) == 0


@pytest.mark.parametrize(
    ("size", "channels", "blocks"),
    [("19-slim-dw", (256, 384, 512), 4), ("39", (512, 768, 1024), 6), ("99", (512, 768, 1024), 16)],
)
def test_the_backbones_have_the_published_shapes(size, channels, blocks):
    with torch.device("meta"):
        network = VoVNet(SIZES[size])
        features = network(torch.zeros(1, 3, 96, 128))
    assert [tuple(f.shape[1:]) for f in features] == [
        (c, 96 // s, 128 // s) for c, s in zip(channels, STRIDES, strict=False)
    ]
    assert sum(len(stage) for stage in network.stages) == blocks
    # Of blocks without a reduction, the number in the name counts the 3x3 convolutions and the last 1x1 ones of blocks.
    layers = sum(len(block.layers) + 1 for stage in network.stages for block in stage)
    assert layers + 3 == int(size.split("-")[0])


def test_the_cells_of_labels_are_those_of_scikit_image():
    labels = simulate("dense_tissue", (90, 100), 1, 20).labels
    found, expected = cells_of(torch.from_numpy(labels.astype(np.float32))), regionprops(labels)
    assert len(expected) > 5
    assert found.ids.tolist() == [cell.label for cell in expected]
    assert found.areas.tolist() == [cell.area for cell in expected]
    assert found.boxes.tolist() == [list(map(float, cell.bbox)) for cell in expected]


def test_locations_are_assigned_by_the_definition():
    boxes = torch.cat([random_boxes(12, 5, 256), random_boxes(12, 6, 60), torch.tensor([[10.0, 10, 200, 30]])])
    levels = [torch.zeros(1, 1, -(-256 // stride), -(-256 // stride)) for stride in STRIDES]
    locations = torch.cat([positions(level, stride) for level, stride in zip(levels, STRIDES, strict=True)])
    found = assign(boxes, locations, level_ranges(len(locations), 256, 256))
    number, used = 0, set()
    for level, stride in enumerate(STRIDES):
        for _ in range(levels[level].numel()):
            y, x = locations[number].tolist()
            candidates = []
            for top, left, bottom, right in boxes.tolist():
                sides = [x - left, y - top, right - x, bottom - y]
                near = max(abs(y - (top + bottom) / 2), abs(x - (left + right) / 2)) < RADIUS * stride
                if min(sides) > 0 and near and RANGES[level] <= max(sides) <= RANGES[level + 1]:
                    candidates.append(((bottom - top) * (right - left), sides))
            assert bool(found.positive[number]) == bool(candidates)
            if candidates:
                left, top, right, bottom = min(candidates)[1]
                np.testing.assert_allclose(found.distances[number], [left, top, right, bottom], atol=1e-3)
                ratio = min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom)
                assert found.centreness[number].item() == pytest.approx(ratio**0.5, abs=1e-4)
                used.add(level)
            number += 1
    assert {0, 1} <= used
    assert not assign(boxes[:0], locations, level_ranges(len(locations), 256, 256)).positive.any()


def test_masks_in_boxes_show_the_cell_and_nothing_else():
    labels = torch.zeros(1, 56, 56)
    labels[0, 10:38, 20:48] = 3
    labels[0, 10:24, 20:48] = 4
    boxes = torch.tensor([[10.0, 20, 38, 48], [-18, 20, 38, 48]])
    masks = masks_in(labels.expand(2, -1, -1), boxes, torch.tensor([3.0, 4]))
    assert masks[0, :14].sum() == 0
    assert masks[0, 14:].mean() == 1
    assert masks[1].sum() == 7 * 28
    areas = torch.tensor([14.0 * 28, 14 * 28])
    torch.testing.assert_close(mask_iou(masks > 0, masks, boxes, areas), torch.ones(2))
    torch.testing.assert_close(mask_iou(masks > -1, masks, boxes, areas), torch.tensor([0.5, 0.25]))


def test_generalised_iou_is_that_of_the_definition():
    found, true = torch.rand(30, 4) + 0.1, torch.rand(30, 4) + 0.1
    corners = [torch.stack([-s[:, 1], -s[:, 0], s[:, 3], s[:, 2]], dim=1) for s in (found, true)]
    iou = iou_matrix(*corners).diagonal()
    hull = torch.cat([torch.minimum(*(c[:, :2] for c in corners)), torch.maximum(*(c[:, 2:] for c in corners))], dim=1)
    areas = [(c[:, 2:] - c[:, :2]).prod(dim=1) for c in (*corners, hull)]
    union = (areas[0] + areas[1]) / (1 + iou)
    torch.testing.assert_close(generalised_iou(found, true), iou - (areas[2] - union) / areas[2])


def truth_of(labels):
    """Return the perfect predictions for a label image (Y, X), and its target."""
    target = torch.from_numpy(labels[None, None].astype(np.float32))
    levels = [torch.zeros(1, 1, -(-labels.shape[0] // s), -(-labels.shape[1] // s)) for s in STRIDES]
    locations = torch.cat([positions(level, stride) for level, stride in zip(levels, STRIDES, strict=True)])
    cells = cells_of(target[0, 0])
    assigned = assign(cells.boxes, locations, level_ranges(len(locations), *labels.shape))
    logits = torch.where(assigned.positive, 20.0, -20.0)[None]
    dense = Dense(logits, assigned.distances[None], torch.logit(assigned.centreness, 1e-6)[None], locations)
    numbers = torch.arange(len(cells.ids))
    shown = masks_in(target[:, 0].expand(len(numbers), -1, -1), cells.boxes, cells.ids)
    ious = mask_iou(shown > 0, shown, cells.boxes, cells.areas)
    return Guided(dense, Masks(40 * shown - 20, ious), 0 * numbers, cells.boxes, numbers), target


def test_loss_is_lowest_for_the_truth():
    truth, target = truth_of(simulate("fluorescence_nuclei", (96, 96), 1, 24).labels)
    logits, ctr = (
        truth.dense.centreness[truth.dense.logits > 0],
        truth.dense.centreness[truth.dense.logits > 0].sigmoid(),
    )
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, ctr).item()
    best = boxes_loss(truth, target).item()
    assert best == pytest.approx(entropy, abs=1e-3)  # the entropy of the centre-ness remains
    dense, masks = truth.dense, truth.masks
    others = (
        truth._replace(dense=dense._replace(logits=-dense.logits)),
        truth._replace(dense=dense._replace(distances=dense.distances + 1)),
        truth._replace(dense=dense._replace(centreness=dense.centreness + 1)),
        truth._replace(masks=masks._replace(logits=-masks.logits)),
        truth._replace(masks=masks._replace(ious=masks.ious - 0.2)),
    )
    assert all(boxes_loss(other, target).item() > best + 0.01 for other in others)
    assert boxes_loss(others[-1], target).item() == pytest.approx(best + 0.5 * 0.2**2, abs=1e-4)


def test_crops_without_cells_train_the_probability_alone():
    network = SlimCenterMask(3, THIN).train()
    crops, target = torch.rand(2, 3, 64, 64), torch.zeros(2, 1, 64, 64)
    outputs = guided_forward(network, crops, target)
    assert len(outputs.boxes) == 0
    boxes_loss(outputs, target).backward()
    assert network.detector.logit.weight.grad.abs().sum() > 0
    assert network.detector.distances.weight.grad.abs().sum() == 0


def test_masks_are_trained_in_predicted_boxes_that_fit_and_in_true_ones():
    samples = [simulate("fluorescence_nuclei", (96, 96), seed, 24) for seed in range(2)]
    target = torch.from_numpy(np.stack([sample.labels[None] for sample in samples]).astype(np.float32))
    network = finding_network().train()
    outputs = guided_forward(network, torch.rand(2, 3, 96, 96), target)
    for n, labels in enumerate(target):
        cells, here = cells_of(labels[0]), outputs.images == n
        assert set(outputs.cells[here].tolist()) == set(range(len(cells.ids)))
        iou = iou_matrix(outputs.boxes[here], cells.boxes)[torch.arange(int(here.sum())), outputs.cells[here]]
        assert (iou >= 0.5).all()
        assert int((iou > 0.999).sum()) >= len(cells.ids)
    boxes_loss(outputs, target).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_target_is_the_labels():
    labels = simulate("fluorescence_nuclei", (64, 64), 1, 20).labels
    target = make_target(RECIPE)(labels, None, np.eye(3)[:2])
    np.testing.assert_array_equal(target, labels[None])
    assert target.dtype == np.float32


def test_records_are_what_the_network_predicts():
    """The detections in the maps, against the parts of the network, one by one."""
    network, image = finding_network(), torch.rand(2, 3, 96, 64)
    with torch.no_grad():
        (maps,) = network(image)
        levels = network.levels(image)
        dense = network.dense(levels)
        scores = scores_of(dense)
        numbers = torch.nn.functional.pixel_unshuffle(maps, 8)
        found = (numbers[:, 0] > 0).nonzero()
        assert len(found) > 20
        assert len({tuple(row) for row in found.tolist()}) == len(found)
        for image_number, y, x in found[::7].tolist():
            record = numbers[image_number, :, y, x]
            box = record[2:6] + 8.0 * torch.tensor([y, x, y, x])
            middle = (box[:2] + box[2:]) / 2
            assert (middle // 8).tolist() == [y, x]
            at = scores[image_number].sub(record[0]).abs().argmin()
            left, top, right, bottom = dense.distances[image_number, at]
            py, px = dense.locations[at]
            torch.testing.assert_close(
                box, torch.stack([py - top, px - left, py + bottom, px + right]), atol=1e-3, rtol=0
            )
            features = pool(levels, torch.tensor([image_number]), box[None])
            mask = network.mask(features).sigmoid()
            torch.testing.assert_close(record[6:790], mask.flatten(), atol=1e-3, rtol=0)
            iou = network.iou(features, mask).clamp(0, 1)[0]
            torch.testing.assert_close(record[1], record[0] * iou, atol=1e-3, rtol=0)
        assert maps[:, 12].count_nonzero() < maps[:, 11].count_nonzero()


@pytest.mark.slow
def test_the_file_computes_what_torch_does(tmp_path):
    """On many detections; with any batch, bit for bit; and on an image without any."""
    network = finding_network(2)
    source = Source(network, None, "green-blue", 30.0, 27.5, "CC0", "nothing")
    differences = write_onnx(str(tmp_path / "net.onnx"), source, "net")
    assert list(differences) == ["detections"]
    assert differences["detections"] <= TOLERANCE
    opened = load_network(tmp_path / "net.onnx", "cpu")
    assert (opened.contract.family, opened.contract.heads, opened.contract.multiple) == ("boxes", FAMILY.heads, 32)
    assert opened.contract.record == 8
    tiles = np.random.default_rng(0).uniform(-0.2, 1.2, (3, 2, 96, 128)).astype(np.float32)
    maps = opened.maps(tiles)
    with torch.inference_mode():
        expected = network(torch.from_numpy(tiles))[0].numpy()
    assert (expected != 0).sum() > 50 * 784
    found, wanted = (torch.nn.functional.pixel_unshuffle(torch.from_numpy(m), 8) for m in (maps, expected))
    for numbers in (slice(0, 2), slice(6, 790)):
        np.testing.assert_allclose(found[:, numbers], wanted[:, numbers], atol=TOLERANCE)
    np.testing.assert_allclose(found[:, 2:6], wanted[:, 2:6], atol=1e-2)  # px, of boxes of some 100 px
    np.testing.assert_array_equal(np.concatenate([opened.maps(tile[None]) for tile in tiles]), maps)
    network.detector.logit.bias.data.fill_(-100)
    blind = to_onnx(find_export("boxes").module(network, None), source.contract("blind")).SerializeToString()
    session = onnxruntime.InferenceSession(blind, providers=["CPUExecutionProvider"])
    assert not session.run(None, {"image": tiles})[0].any()


def test_detections_are_neither_averaged_nor_computed_in_half_precision(tmp_path, capsys):
    for name in "ab":
        save(tmp_path / f"{name}.pt", SlimCenterMask(3, THIN).eval(), about=ABOUT, size=None)
    file = str(tmp_path / "net.onnx")
    assert export([str(tmp_path / "a.pt"), str(tmp_path / "b.pt"), "-o", file]) == 1
    assert "of the boxes family cannot be averaged, because their outputs are detections" in capsys.readouterr().err
    assert export([str(tmp_path / "a.pt"), "-o", file, "--precision", "fp16"]) == 1
    assert "of the boxes family with --precision fp32" in capsys.readouterr().err


@pytest.mark.slow
def test_training_on_two_crops_makes_the_network_find_their_cells():
    torch.manual_seed(0)
    samples = [simulate("fluorescence_nuclei", (96, 96), seed, 26) for seed in range(2)]
    crops = torch.from_numpy(np.stack([network_input(as_image(s.image), "rgb", (1.0, 99.0)) for s in samples]))
    target = torch.from_numpy(np.stack([sample.labels[None] for sample in samples]).astype(np.float32))
    network = SlimCenterMask(3, (32, 16)).train()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    costs = []
    for _ in range(60):
        cost = boxes_loss(guided_forward(network, crops, target), target)
        optimiser.zero_grad()
        cost.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10)
        optimiser.step()
        costs.append(cost.item())
    assert costs[-1] < 0.5 * costs[0]
    engine = TorchNetwork(network.eval(), contract_in_training(RECIPE, network.multiple))
    for sample in samples:
        found = segment_image(as_image(sample.image), engine, Segmentation(diameter=30)).labels
        assert f1(sample.labels, found) > 0.3


@pytest.mark.slow
def test_a_recipe_becomes_a_file_that_the_command_runs(tmp_path, capsys):
    for seed in range(3):
        sample = simulate("fluorescence_nuclei", (128, 128), seed, 26)
        write_sample(tmp_path / "data" / "lab", str(seed), sample.image, sample.labels)
    stage = dataclasses.replace(RECIPE.stages[0], start=Fresh(), steps=3, split=Split(("lab/0",), ()))
    stage = dataclasses.replace(stage, augmentation=dataclasses.replace(stage.augmentation, crop=64))
    recipe = dataclasses.replace(RECIPE, widths=THIN, stages=(stage,))
    output = train_recipe(recipe, [tmp_path / "data"], None, tmp_path / "work")
    assert "F1 " in capsys.readouterr().out
    network, extras = load(output)
    network.load_state_dict(finding_network().state_dict())  # three steps are not enough to find anything
    save(output, network, about=extras["about"], size=None)
    file = tmp_path / "boxes.onnx"
    assert export([str(output), "-o", str(file), "--name", "nuclei"]) == 0
    sample = simulate("fluorescence_nuclei", (128, 300), 9, 26)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), sample.image)
    options = ["--model", str(file), "--device", "cpu", "--score-threshold", "0.2"]
    command = [sys.executable, "-m", "flowmask", "segment", str(tmp_path / "images"), "-o", str(tmp_path / "out")]
    subprocess.run([*command, *options], check=True)
    (written,) = (tmp_path / "out").glob("a*.tif*")
    labels = cv2.imread(str(written), cv2.IMREAD_UNCHANGED)
    found = segment(sample.image, load_network(file, "cpu"), score_threshold=0.2).labels
    assert found.max() > 3
    np.testing.assert_array_equal(labels, found)
