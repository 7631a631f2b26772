"""Weights torchvision publishes: Kinetics-400-supervised video ResNets (figures 2–4)."""

import torch

from mac.models.operators import declare_missing_operators

declare_missing_operators()

from torchvision.models.video import R2Plus1D_18_Weights, R3D_18_Weights  # noqa: E402

_WEIGHTS = {"r2plus1d_18": R2Plus1D_18_Weights.KINETICS400_V1, "r3d_18": R3D_18_Weights.KINETICS400_V1}


class NoWeightsError(Exception):
    """There are no published weights of a backbone, or they can't be fetched; the message says what to do."""


def kinetics400(backbone: str) -> dict[str, torch.Tensor]:
    """Fetch a backbone's weights without the classifier, through torchvision's own download and cache.

    Raises:
        NoWeightsError: none are published for this backbone, or the download failed.
    """
    if backbone not in _WEIGHTS:
        raise NoWeightsError(
            f"torchvision publishes Kinetics-400 weights for {', '.join(_WEIGHTS)}, not for {backbone};"
            " set `supervised_baseline: pretrain`"
        )
    try:
        state = _WEIGHTS[backbone].get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise NoWeightsError(
            f"{_WEIGHTS[backbone].url}: {error} — put the file into torch's hub cache (checkpoints/), or set"
            " `supervised_baseline: pretrain`"
        ) from None
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
