"""Image formation: from maps of dye, stain or optical path to what a camera records."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft

from train.simulate.fields import Image, Shape, blur, fractal_noise, smooth_noise


def illumination(rng: Generator, shape: Shape, strength: float) -> Image:
    """Uneven lighting about 1: a linear gradient, a vignette and slow mottle, each of height up to `strength`."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    angle, slope, falloff = rng.uniform(0, 2 * math.pi), rng.uniform(0, strength), rng.uniform(0, strength)
    centre_y, centre_x = rng.uniform(-0.5, 0.5, 2)
    gradient = slope * (math.cos(angle) * x + math.sin(angle) * y) / 2
    vignette = -falloff * ((x - centre_x) ** 2 + (y - centre_y) ** 2) / 2
    mottle = 0.15 * strength * smooth_noise(rng, shape, max(shape) / 3)
    return np.asarray(np.maximum(1 + gradient + vignette + mottle, 0.1), np.float32)


def widefield(rng: Generator, dye: Image, psf: float, haze: float, reach: float) -> Image:
    """Fluorescence of a dye map (0..~1): blur of deviation `psf` px plus the out-of-focus share `haze`.

    The haze is the dye map blurred by `reach` px, as in a wide-field microscope without optical sectioning.
    """
    sharp = blur(dye, psf)
    lit = (1 - haze) * sharp + haze * blur(dye, reach)
    return lit * illumination(rng, (dye.shape[0], dye.shape[1]), rng.choice([0.1, 0.5]))


def phase_contrast(path: Image, halo: float, direct: float, psf: float) -> Image:
    """Positive phase contrast of an optical path (radians); background 1, dense objects dark, halos bright.

    The phase ring passes undiffracted light with amplitude `direct` and retards it by a quarter wave; as the ring has
    a width, light diffracted by less than 1 / `halo` px is treated alike, which makes halo and shade-off
    (Yin, Kanade, Chen 2012, Understanding the phase contrast optics, Medical Image Analysis 16).

    >>> np.allclose(phase_contrast(np.zeros((20, 20), np.float32), 4, 0.5, 1), 1)  # nothing but background
    True
    """
    real, imaginary = np.cos(path), np.sin(path)
    low_real, low_imaginary = blur(real, halo), blur(imaginary, halo)
    field_real = real - low_real + direct * low_imaginary
    field_imaginary = imaginary - low_imaginary - direct * low_real
    return blur((field_real**2 + field_imaginary**2) / np.float32(direct**2), psf)


def differential_interference(path: Image, angle: float, shear: float, bias: float, psf: float) -> Image:
    """Nomarski contrast of an optical path (radians): interference of two copies `shear` px apart along `angle`.

    `bias` (radians) is the phase between the copies on an empty field, whose intensity is 1.

    >>> np.allclose(differential_interference(np.zeros((9, 9), np.float32), 0.0, 1.0, 0.5, 1.0), 1)  # an empty field
    True
    """
    path = blur(path, psf)
    slope_y, slope_x = np.gradient(path)
    difference = np.float32(shear) * (slope_x * math.cos(angle) + slope_y * math.sin(angle))
    return np.asarray((1 - np.cos(difference + bias)) / (1 - math.cos(bias)), np.float32)


def bright_field(path: Image, absorption: Image, fresnel: float, sign: int, coherence: float) -> Image:
    """Defocused transmitted light; background 1.

    The field exp(i path - absorption) is propagated by the Fresnel transfer function over the distance at which
    sqrt(wavelength * distance) is `fresnel` px, towards (`sign` 1) or away from (-1) the objective; a blur of
    `coherence` px stands for the finite size of the light source (Goodman, Introduction to Fourier Optics, ch. 4).
    """
    margin = math.ceil(4 * fresnel)
    height, width = (fft.next_fast_len(side + 2 * margin) for side in path.shape)
    below, right = height - path.shape[0] - margin, width - path.shape[1] - margin
    wave = np.exp(1j * blur(path, 0.7) - blur(absorption, 0.7)).astype(np.complex64)
    wave = np.pad(wave, ((margin, below), (margin, right)), mode="symmetric")
    squared = fft.fftfreq(height)[:, None] ** 2 + fft.fftfreq(width) ** 2
    transfer = np.exp(-1j * math.pi * sign * fresnel**2 * squared).astype(np.complex64)
    seen = fft.ifft2(fft.fft2(wave) * transfer)[margin : height - below, margin : width - right]
    return blur((np.abs(seen) ** 2).astype(np.float32), coherence)


HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.07, 0.99, 0.11)
HAEMATOXYLIN_BLUE = (0.80, 0.55, 0.20)
DAB = (0.27, 0.57, 0.78)


def absorb(stains: list[tuple[Image, tuple[float, float, float]]], light: tuple[float, float, float]) -> Image:
    """RGB (Y, X, 3) in 0..1 by Beer-Lambert: each stain is a density map and the RGB optical density of one unit.

    The vectors for haematoxylin and eosin are those of Ruifrok and Johnston 2001.

    >>> stain = np.array([[0, 1]], np.float32)  # no stain, and one unit
    >>> absorb([(stain, (0.0, 0.7, 0.0))], (1.0, 1.0, 1.0)).round(2).tolist()[0][0]
    [1.0, 1.0, 1.0]
    >>> float(absorb([(stain, (0.0, 0.7, 0.0))], (1.0, 1.0, 1.0))[0, 1, 1].round(2))  # exp(-0.7)
    0.5
    """
    density = sum(amount[..., None] * np.asarray(colour, np.float32) for amount, colour in stains)
    return (np.asarray(light, np.float32) * np.exp(-np.asarray(density, np.float32))).astype(np.float32)


def shot(rng: Generator, image: Image, photons: float, read: float) -> Image:
    """Camera noise: Gaussian with variance image / `photons` + `read`², `photons` per unit of intensity."""
    deviation = np.sqrt(np.maximum(image, 0) / np.float32(photons) + np.float32(read**2))
    return np.asarray(image + deviation * rng.standard_normal(image.shape, np.float32), np.float32)


def digitise(rng: Generator, image: Image) -> NDArray[np.uint8]:
    """Round an image of range 0..1 to uint8; one in ten passes through JPEG of quality 50 to 90."""
    pixels = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    if rng.random() < 0.1:
        _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 91))])
        pixels = np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED), np.uint8)
    return pixels


def record_dark(rng: Generator, image: Image) -> NDArray[np.uint8]:
    """Record fluorescence, (Y, X) or (Y, X, 3) with signal about 1, on a dark background of random level."""
    noisy = shot(rng, image + rng.uniform(0.0, 0.15), rng.choice([15, 60, 250, 1000]), rng.uniform(0.002, 0.03))
    level = np.percentile(image, 99.8) + 0.2
    exposure = rng.choice([0.25, 0.6, 0.9, 1.2])
    return digitise(rng, np.maximum(noisy * np.float32(exposure / level), 0) ** np.float32(rng.uniform(0.8, 1.1)))


def record_bright(rng: Generator, image: Image) -> NDArray[np.uint8]:
    """Record transmitted light (background 1, (Y, X)) at a random grey level and contrast, with dust and noise."""
    shape = (image.shape[0], image.shape[1])
    dust = 0.02 * rng.random() * fractal_noise(rng, shape, rng.uniform(4, 30))
    swing = float(np.percentile(np.abs(image - 1), 98)) + 0.02
    contrast = min(rng.uniform(0.1, 0.6) / swing, 3.0)
    grey = rng.uniform(0.3, 0.65)
    noise = contrast * swing / rng.choice([5, 12, 30])
    scene = np.asarray(1 + contrast * (image + dust - 1), np.float32)
    lit = scene * illumination(rng, shape, rng.choice([0.05, 0.15, 0.5]))
    noisy = shot(rng, lit, 2 / noise**2, 0.7 * noise) * np.float32(grey)
    return digitise(rng, noisy)
