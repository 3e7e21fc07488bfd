from .clicks import AddClickChannelsd, RandInstanceClicksd, click_channels
from .compact import Compactd, RandCompactCropd
from .density import InstanceTargetsd, density_map, instance_centres
from .gray_values import MatchGrayValuesd
from .instances import LabelInstancesd
from .judgements import GatherChosend, LoadJudgementsd
from .loading import LoadGrayImaged
from .outputs import SaveOutputsd, SplitOutputd
from .resampling import ToInputPixelsd, ToNativePixelsd, ToNetworkPixelsd
from .section import SingleSectiond

__all__ = [
    "AddClickChannelsd",
    "Compactd",
    "GatherChosend",
    "InstanceTargetsd",
    "LabelInstancesd",
    "LoadGrayImaged",
    "LoadJudgementsd",
    "MatchGrayValuesd",
    "RandCompactCropd",
    "RandInstanceClicksd",
    "SaveOutputsd",
    "SingleSectiond",
    "SplitOutputd",
    "ToInputPixelsd",
    "ToNativePixelsd",
    "ToNetworkPixelsd",
    "click_channels",
    "density_map",
    "instance_centres",
]
