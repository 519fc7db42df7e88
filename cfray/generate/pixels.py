"""What checks measure from pixels alone: skin colour, sharpness, perceptual hashes, drift of the context."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.fft import dctn

from cfray.concepts.appearance import MONK_TONES

# sRGB to CIE XYZ (IEC 61966-2-1), and the D65 white point.
_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def to_lab(colours: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65), float64 (..., 3), of sRGB colours 0..255 (..., 3)."""
    share = np.asarray(colours, np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _TO_XYZ.T / _WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def skin_colour(picture: np.ndarray, skin: np.ndarray) -> np.ndarray | None:
    """The median L*a*b* of a picture's skin pixels, float64 (3,); None where there are fewer than four.

    Args:
        picture: uint8 (h, w, 3).
        skin: bool (h, w).
    """
    return np.median(to_lab(picture[skin]), axis=0) if skin.sum() >= 4 else None


def individual_typology_angle(lab: np.ndarray) -> float:
    """ITA = atan2(L* - 50, b*) in degrees, from about 90 for the lightest skin to -90 (Chardon et al. 1991)."""
    return float(np.degrees(np.arctan2(lab[0] - 50, lab[2])))


def nearest_monk_tone(lab: np.ndarray) -> int:
    """The step of the Monk scale, 1..10, whose published colour is nearest in L*a*b* (CIE76)."""
    steps = list(MONK_TONES)
    distances = np.linalg.norm(to_lab(np.array([MONK_TONES[step] for step in steps])) - lab, axis=1)
    return steps[int(distances.argmin())]


def sharpness(picture: np.ndarray) -> float:
    """Variance of the Laplacian of the grey picture, uint8 (h, w, 3); 0 for a flat one, near 0 for a blurred one."""
    return float(ndimage.laplace(_grey(picture)).var())


def perceptual_hash(picture: np.ndarray) -> np.ndarray:
    """64 bits, bool (64,): which of the lowest 8 x 8 cosine frequencies of the grey picture are above their median.

    A picture that is rescaled, recompressed or slightly changed keeps most bits (Zauner 2010, pHash).
    """
    small = np.asarray(Image.fromarray(picture).convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float64)
    low = dctn(small, norm="ortho")[:8, :8].ravel()
    return low > np.median(low[1:])


def nearest_distances(hashes: list[np.ndarray]) -> list[int | None]:
    """For each hash, in how many bits the nearest of the others differs; None for a single one."""
    return [
        min((int((own != other).sum()) for j, other in enumerate(hashes) if j != i), default=None)
        for i, own in enumerate(hashes)
    ]


def context_drift(base: np.ndarray, variant: np.ndarray, mask: np.ndarray) -> int:
    """The largest difference of a channel outside the mask, 0..255; 255 for pictures of different sizes."""
    if base.shape != variant.shape:
        return 255
    outside = np.abs(base.astype(np.int16) - variant)[~mask]
    return int(outside.max()) if outside.size else 0


def _grey(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
