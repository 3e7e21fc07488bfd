from .conv_encoder import ConvEncoder
from .promptable_segmenter import PromptableSegmenter

__all__ = ["ConvEncoder", "PromptableSegmenter"]
