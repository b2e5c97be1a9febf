"""Spoken clips as the networks of section 3.3 see them: normalised log spectrograms, zero-padded to 101 frames.

The paper says no more of them than that, and gives 160 x 101; the rest is GCommandsPytorch's, whose data, networks and
baselines are the paper's: windows of 20 ms every 10 ms, Hamming, log(1 + magnitude), mean 0 and deviation 1 over the padded
spectrogram of each clip. That makes 161 frequencies.
"""

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mixup.data.dataset import identities
from mixup.errors import UserError
from mixup.run.display import progress

VERSION = 2  # of the features below: to be raised with any change of them, so that cached ones are computed again
RATE = 16_000
WINDOW, HOP, FRAMES = 320, 160, 101
BATCH = 256  # clips that are read together


def read_spectrograms(parts: Mapping[str, Sequence[Path]], *, device: torch.device, title: str) -> dict[str, np.ndarray]:
    """For each part, `<part>` (N, 1, 161, 101) float32, and `<part>_identity` (N, 8) uint8: digests of what was recorded,
    whatever machine computed the spectrograms.

    title: of the progress bar. Raises UserError naming a file that is not a clip of one channel at 16 kHz.
    """
    arrays: dict[str, np.ndarray] = {}
    batches = []
    for part, files in parts.items():  # gigabytes: filled in place, never copied
        arrays[part] = np.empty((len(files), 1, WINDOW // 2 + 1, FRAMES), np.float32)
        arrays[f"{part}_identity"] = np.empty((len(files), 8), np.uint8)
        batches += [(part, slice(start, start + BATCH)) for start in range(0, len(files), BATCH)]
    with ThreadPoolExecutor() as pool:
        for part, rows in progress(batches, title, len(batches)):
            clips = list(pool.map(read_clip, parts[part][rows]))
            arrays[part][rows, 0] = spectrograms(clips, device)
            arrays[f"{part}_identity"][rows] = identities([clip.tobytes() for clip in clips])
    return arrays


def read_clip(file: Path) -> np.ndarray:
    """(samples,) int16. Raises UserError naming the file."""
    import soundfile

    try:
        content = file.read_bytes()
        with soundfile.SoundFile(io.BytesIO(content)) as clip:
            rate, is_float = clip.samplerate, clip.subtype in ("FLOAT", "DOUBLE")
            samples = clip.read(dtype="float64" if is_float else "int16", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        fault = f"cannot be read as a clip ({getattr(error, 'error_string', error)})"
    else:
        length = int.from_bytes(content[4:8], "little") if content[:4] == b"RIFF" else 0
        if (
            len(content) < length < 2**32 - 1
        ):  # the largest number stands for an unknown length, as of what comes from a pipe
            fault = f"is cut short: {len(content):,} bytes are left of it"  # libsndfile returns them without a word
        elif rate != RATE:
            fault = f"has {rate:,} samples a second"
        elif samples.shape[1] != 1:
            fault = f"has {samples.shape[1]} channels"
        elif not len(samples):
            fault = "holds no samples"
        elif is_float and not np.abs(samples).max() <= 1:  # also where one is not a number
            fault = f"has samples up to {np.abs(samples).max():.4g}, and those of a clip in floats are between -1 and 1"
        else:
            # libsndfile would round floats to integers before it multiplies.
            samples = (samples * 2**15).round().clip(max=2**15 - 1).astype(np.int16) if is_float else samples
            return np.ascontiguousarray(samples[:, 0])
    expected = f"expected a WAV file of one channel at {RATE:,} samples a second"
    raise UserError(f"{file} {fault}; {expected}: restore or remove it")


def spectrograms(clips: Sequence[np.ndarray], device: torch.device) -> np.ndarray:
    """(N, 161, 101) float32 of clips (samples,) int16. Those of one length, nearly all, are computed together."""
    longest = FRAMES * HOP  # samples that the frames can reach
    rows_by_length: dict[int, list[int]] = {}
    for row, clip in enumerate(clips):
        rows_by_length.setdefault(min(len(clip), longest), []).append(row)
    features = np.empty((len(clips), WINDOW // 2 + 1, FRAMES), np.float32)
    for length, rows in rows_by_length.items():
        samples = torch.from_numpy(np.stack([clips[row][:length] for row in rows]))
        features[rows] = normalised_spectrogram(samples.to(device)).cpu().numpy()
    return features


def normalised_spectrogram(samples: Tensor) -> Tensor:
    """(B, samples) int16 -> (B, 161, 101) float32 with mean 0 and deviation 1 each; a silent clip is 0 throughout.

    Padded or cut in time after the transform, as GCommandsPytorch does, so the padding is log(1 + 0).
    """
    # Reflection needs one sample more than the half window that it fills.
    waves = functional.pad(samples.float() / 2**15, (0, max(0, WINDOW // 2 + 1 - samples.shape[1])))
    window = torch.hamming_window(WINDOW, device=samples.device)
    spectrum = torch.stft(waves, WINDOW, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    features = spectrum.abs().log1p()
    features = functional.pad(features, (0, FRAMES - features.shape[-1]))  # a negative width cuts
    deviation, mean = torch.std_mean(features, dim=(1, 2), keepdim=True)
    return (features - mean) / deviation.where(deviation > 0, 1.0)
