from .conv_encoder import ConvEncoder
from .placement import place
from .promptable_segmenter import PromptableSegmenter
from .unprompted_segmenter import UnpromptedSegmenter
from .vit_encoder import ViTEncoder

__all__ = ["ConvEncoder", "PromptableSegmenter", "UnpromptedSegmenter", "ViTEncoder", "place"]
