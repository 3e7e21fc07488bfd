import numpy as np
import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Compose

from bundle import keys as K
from bundle.data.preparation import Preparation, prepare_domain
from bundle.errors import DataError, SettingError
from bundle.transforms import (
    AddClickChannelsd,
    LabelInstancesd,
    LoadGrayImaged,
    SplitOutputd,
    ToInputPixelsd,
    ToNetworkPixelsd,
)
from tests.image_writers import write_fiji, write_png

ROWS = np.random.default_rng(0).integers(0, 250, (60, 110)).astype(np.uint8)


def image_of(rows, **meta):
    return MetaTensor(torch.from_numpy(rows.T.astype(np.float32))[None], meta={"filename_or_obj": "a.png", **meta})


def output_of(image, mask):
    """What a network says of a resampled image: logits of a mask (X,Y), and its density."""
    values = torch.stack((mask * 12 - 6, mask)).float()
    return MetaTensor(values, meta=dict(image.meta))


def back(out, min_size=0):
    steps = [ToInputPixelsd(), SplitOutputd(), LabelInstancesd(K.PRED, min_size=min_size)]
    return Compose(steps)({K.PRED: out})


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_an_inference_sees_what_a_training_saw(tmp_path, kind):
    """The pixels of prepare_data, one by one."""
    path = write_png(tmp_path / "a.png", ROWS.astype(kind))
    prepare_domain(Preparation(output=tmp_path / "out", test=[path], pixel_size=8, output_pixel_size=20))
    load = Compose([LoadGrayImaged(), lambda d: {K.IMAGE: d[K.IMAGE][None]}])
    prepared = load({K.IMAGE: str(tmp_path / "out" / "images" / "test_a.png")})[K.IMAGE]
    item = load({K.IMAGE: str(path)})
    resampled = ToNetworkPixelsd(pixel_size=20, image_pixel_size=8)(item)[K.IMAGE]
    assert resampled.shape == (1, 44, 24)
    np.testing.assert_array_equal(resampled.numpy(), prepared.numpy())


def test_each_file_has_its_own_pixel_size(tmp_path):
    load = Compose([LoadGrayImaged(), lambda d: {K.IMAGE: d[K.IMAGE][None]}, ToNetworkPixelsd(pixel_size=20)])
    for nm, shape in ((8.0, (44, 24)), (20.0, (110, 60)), (40.0, (220, 120))):
        path = write_fiji(tmp_path / "a.tif", ROWS, nm)
        assert load({K.IMAGE: str(path)})[K.IMAGE].shape[1:] == shape


def test_who_tells():
    """The item, which has the datalist's number, then the file, then a person."""
    step = ToNetworkPixelsd(pixel_size=20)
    assert step({K.IMAGE: image_of(ROWS, pixel_size=8.0), K.PIXEL_SIZE: 10.0})[K.IMAGE].shape[1:] == (55, 30)
    assert step({K.IMAGE: image_of(ROWS, pixel_size=8.0)})[K.IMAGE].shape[1:] == (44, 24)
    with pytest.raises(DataError, match=r"a\.png: tells no pixel size .*--image_pixel_size NM.*PIXEL_SIZE=NM"):
        step({K.IMAGE: image_of(ROWS)})
    given = ToNetworkPixelsd(pixel_size=20, image_pixel_size=8)
    assert given({K.IMAGE: image_of(ROWS)})[K.IMAGE].shape[1:] == (44, 24)
    with pytest.raises(SettingError, match=r"--image_pixel_size 8: a\.png says 10 nm"):
        given({K.IMAGE: image_of(ROWS, pixel_size=10.0)})
    for name in ("pixel_size", "image_pixel_size"):
        with pytest.raises(SettingError, match=f"{name} is -1"):
            ToNetworkPixelsd(**{name: -1})


@pytest.mark.parametrize("settings", [{}, {"pixel_size": 8.0}], ids=["unknown", "the same"])
def test_nothing_is_resampled_for_nothing(settings):
    image = image_of(ROWS, pixel_size=8.0)
    found = ToNetworkPixelsd(**settings)({K.IMAGE: image})[K.IMAGE]
    assert found is image
    out = output_of(found, (found[0] > 100).float())
    assert ToInputPixelsd()({K.PRED: out})[K.PRED] is out


def test_tensors_without_meta_information_pass():
    plain = torch.rand(1, 8, 16)
    assert ToNetworkPixelsd()({K.IMAGE: plain})[K.IMAGE] is plain
    assert ToInputPixelsd()({K.PRED: plain})[K.PRED] is plain
    assert ToNetworkPixelsd(pixel_size=20)({K.IMAGE: plain, K.PIXEL_SIZE: 40})[K.IMAGE].shape == (1, 16, 32)


@pytest.mark.parametrize("nm", [8.0, 5.0, 13.0, 40.0])
def test_a_square_of_nanometres_stays_in_its_place(nm):
    """480 nm from (400, 240) nm on: where the network sees it, it is on the input's grid."""
    shape = (round(1600 / nm), round(960 / nm))
    image = image_of(np.zeros(shape[::-1], np.uint8), pixel_size=nm)
    resampled = ToNetworkPixelsd(pixel_size=20)({K.IMAGE: image})[K.IMAGE]
    mask = torch.zeros(resampled.shape[1:])
    mask[20:44, 12:36] = 1
    item = back(output_of(resampled, mask))
    assert item[K.PRED].shape == item[K.DENSITY].shape == item[K.INSTANCES].shape == (1, *shape)
    xs, ys = np.nonzero(item[K.PRED][0].numpy())
    edges = np.array([xs.min(), xs.max() + 1, ys.min(), ys.max() + 1]) * nm
    assert np.abs(edges - [400, 880, 240, 720]).max() <= max(nm, 20) / 2
    assert item[K.INSTANCES].max() == 1
    assert abs(item[K.DENSITY].max() - 1) < 0.02, "a density keeps its values"
    assert item[K.PRED].meta["filename_or_obj"] == "a.png"


def test_a_batch_of_one_keeps_its_way_back():
    """As an evaluator has it: collated, segmented, and taken apart."""
    item = ToNetworkPixelsd(pixel_size=20)({K.IMAGE: image_of(ROWS, pixel_size=8.0)})
    batch = list_data_collate([item])
    (out,) = decollate_batch(torch.cat((batch[K.IMAGE], batch[K.IMAGE]), dim=1))
    assert back(out)[K.PRED].shape == (1, 110, 60)


@pytest.mark.parametrize(("nm", "side", "kept"), [(5.0, 15, False), (5.0, 17, True), (40.0, 1, False), (40.0, 3, True)])
def test_the_smallest_size_is_the_same_area(nm, side, kept):
    """15 pixels of 20 nm are 6000 nm^2: a square of 77 nm."""
    shape = (round(1600 / nm), round(800 / nm))
    image = image_of(np.zeros(shape[::-1], np.uint8), pixel_size=nm)
    resampled = ToNetworkPixelsd(pixel_size=20)({K.IMAGE: image})[K.IMAGE]
    out = ToInputPixelsd()({K.PRED: output_of(resampled, torch.zeros(resampled.shape[1:]))})[K.PRED]
    out[0, 10 : 10 + side, 5 : 5 + side] = 9
    item = LabelInstancesd(K.PRED, min_size=15)(SplitOutputd()({K.PRED: out}))
    assert bool(item[K.PRED].any()) is kept


def test_clicks_are_in_pixels_of_the_file():
    image = ToNetworkPixelsd(pixel_size=20)({K.IMAGE: image_of(ROWS, pixel_size=8.0)})[K.IMAGE]
    item = {K.IMAGE: image, K.POINTS: [[50, 20]], K.POINT_LABELS: [1], "background": [[109, 59]]}
    found = AddClickChannelsd()(item)[K.IMAGE]
    assert found.shape == (3, 44, 24)
    assert found[1:].nonzero().tolist() == [[0, 20, 8], [1, 43, 23]]
    with pytest.raises(DataError, match="outside the image of 110x60 pixels"):
        AddClickChannelsd()({K.IMAGE: image, "foreground": [[110, 0]]})
