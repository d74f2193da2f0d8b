"""How like two pictures are: SSIM on luma, over the whole or over rectangles.

Means over windows of 7 x 7 pixels, constants of Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from
error visibility to structural similarity" (2004).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bridge.types import Bounds

WINDOW = 7
COVER_WITHIN, COVER_SHARE = 4, 0.3
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Plane = NDArray[np.float64]


def luma(pixels: NDArray[np.uint8]) -> Plane:
    """BT.601 luma of RGB or RGBA, (height, width)."""
    plane: Plane = pixels[..., :3] @ np.array([0.299, 0.587, 0.114])
    return plane


def scaled(pixels: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """RGB of this width, as a careful scaler makes it."""
    height = round(pixels.shape[0] * width / pixels.shape[1])
    image = Image.fromarray(pixels).convert("RGB")
    return np.asarray(image if image.width == width else image.resize((width, height), Image.Resampling.BOX))


def ssim(a: Plane, b: Plane) -> Plane:
    """SSIM of each window; value [y, x] is that of the window whose left upper corner is there."""
    mean_a, mean_b = _mean(a), _mean(b)
    var_a, var_b = _mean(a * a) - mean_a**2, _mean(b * b) - mean_b**2
    both = _mean(a * b) - mean_a * mean_b
    found: Plane = ((2 * mean_a * mean_b + C1) * (2 * both + C2)) / (
        (mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2)
    )
    return found


def likeness(truth: Plane, picture: Plane, place: Bounds, grey: float) -> Plane:
    """SSIM of the windows in a rectangle of the picture that are not covered, that is, not mostly of that grey."""
    rows, columns = slice(place.top, place.bottom), slice(place.left, place.right)
    a, b = truth[rows, columns], picture[rows, columns]
    if min(a.shape) < WINDOW or a.shape != b.shape:
        return np.empty(0)
    covered = _mean((np.abs(b - grey) < COVER_WITHIN).astype(float)) > COVER_SHARE
    return ssim(a, b)[~covered]


def _mean(plane: Plane) -> Plane:
    total = np.zeros((plane.shape[0] + 1, plane.shape[1] + 1))
    np.cumsum(np.cumsum(plane, axis=0), axis=1, out=total[1:, 1:])
    sums: Plane = (
        total[WINDOW:, WINDOW:] - total[:-WINDOW, WINDOW:] - total[WINDOW:, :-WINDOW] + total[:-WINDOW, :-WINDOW]
    )
    return sums / WINDOW**2
