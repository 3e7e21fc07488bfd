from .clicks import AddClickChannelsd, RandInstanceClicksd, click_channels
from .density import InstanceTargetsd, density_map, instance_centres
from .mixing import RandMix
from .outputs import SaveOutputsd, SplitOutputd

__all__ = [
    "AddClickChannelsd",
    "InstanceTargetsd",
    "RandInstanceClicksd",
    "RandMix",
    "SaveOutputsd",
    "SplitOutputd",
    "click_channels",
    "density_map",
    "instance_centres",
]
