"""Mask R-CNN as torchvision publishes it, asked for persons only (supplementary §5)."""

import pickle
from pathlib import Path

import numpy as np
import torch

from mac.models.operators import declare_missing_operators

declare_missing_operators()

import torchvision  # noqa: E402
from torchvision.models import detection  # noqa: E402

PERSON = 1  # COCO's category
_WEIGHTS = {
    "maskrcnn_resnet50_fpn_v2": detection.MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
    "maskrcnn_resnet50_fpn": detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1,
}


class NoDetectorError(Exception):
    """A detector's weights can't be obtained; the message says what to do."""


class PersonDetector:
    """Finds the persons of single frames.

    Args:
        name: ``maskrcnn_resnet50_fpn_v2`` or ``maskrcnn_resnet50_fpn``.
        weights: a file with its state, as torchvision publishes it; None fetches it through torchvision's own cache.
        device: where to run.

    Raises:
        NoDetectorError: no such detector, the download failed, or the file holds another network's weights.
    """

    def __init__(self, name: str, weights: Path | None, device: torch.device) -> None:
        if name not in _WEIGHTS:
            raise NoDetectorError(f"person_boxes.detector {name!r}: allowed are {', '.join(_WEIGHTS)}")
        published = _WEIGHTS[name]
        try:
            state = (
                torch.load(weights, map_location="cpu", weights_only=True)
                if weights
                else published.get_state_dict(check_hash=True)
            )
        except OSError as error:
            raise NoDetectorError(
                f"{weights or published.url}: {error} — fetch {published.url} on a machine with a network and name the"
                " file as `detector_weights` in config/config.yaml; or put published boxes into the data set's folder"
                " and set `person_boxes.detector: published`; or leave out Table 3 (`T3: null` under a scale's tables)"
            ) from None
        except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
            raise NoDetectorError(
                f"{weights}: not a file of weights: {(str(error).splitlines() or ['empty'])[0]}"
            ) from None
        self.network = getattr(detection, name)(weights=None, weights_backbone=None)
        try:
            self.network.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise NoDetectorError(f"{weights}: not the weights of {name}: {str(error).splitlines()[0]}") from None
        self.network.to(device).eval()
        self.device = device

    @torch.inference_mode()
    def detect(self, frames: list[np.ndarray], min_score: float) -> list[np.ndarray]:
        """Find persons.

        Args:
            frames: uint8 (H, W, 3) RGB each.
            min_score: drop detections below it.

        Returns:
            One float32 (K, 5) array a frame: x0, y0, x1, y1 as fractions of the frame in [0, 1], and the score.

        Raises:
            NoDetectorError: this torchvision lacks its compiled operators.
        """
        images = [torch.from_numpy(f).to(self.device).permute(2, 0, 1).float().div_(255) for f in frames]
        try:
            seen_in_frames = self.network(images)
        except (RuntimeError, NotImplementedError) as error:
            if "torchvision::" not in str(error) and "C++ ops" not in str(error):
                raise
            raise NoDetectorError(
                f"torchvision {torchvision.__version__}'s compiled operators don't fit torch {torch.__version__}:"
                " install matching builds; or put published boxes into the data set's folder and set"
                " `person_boxes.detector: published`"
            ) from None
        found = []
        for frame, seen in zip(frames, seen_in_frames, strict=True):
            chosen = (seen["labels"] == PERSON) & (seen["scores"] >= min_score)
            height, width = frame.shape[:2]
            boxes = seen["boxes"][chosen] / seen["boxes"].new_tensor([width, height, width, height])
            rows = torch.cat([boxes.clamp(0, 1), seen["scores"][chosen, None]], dim=1)
            found.append(rows.float().cpu().numpy())
        return found
