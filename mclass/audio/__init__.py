"""Audio files in, mono float32 waveforms out: decode, mix down, resample, read a part, save.

`read` decodes only the part that is asked for, plus a margin that makes the part equal the same samples of the
whole file; `blocks` decodes a file of any length in pieces. wav, flac, ogg, opus, mp3, aiff and au are decoded by
libsndfile where it reads them whole and right; the others, and m4a, aac, wma, webm, wavpack and more, by ffmpeg's
libraries (PyAV). Whatever a header says, what is there is read, and a warning says what is missing.

Conventions: ``start`` and ``num_samples`` count samples at the rate that is *asked for*, never at the file's.
An mp3 begins and ends where its encoder says (LAME's tag). Without such a tag the encoder's silence of about 1100
samples stays in front; of a whole stream libsndfile cuts off the decoder's own 529 samples, ffmpeg does not.

Taught in: 01_representations, 04_supervised.
"""

from mclass.audio._decoding import RATES
from mclass.audio.opening import SUFFIXES
from mclass.audio.reading import AudioInfo, blocks, info, problem, read, too_long
from mclass.audio.resampling import resample, target_length
from mclass.audio.saving import save

__all__ = [
    "RATES",
    "SUFFIXES",
    "AudioInfo",
    "blocks",
    "info",
    "problem",
    "read",
    "resample",
    "save",
    "target_length",
    "too_long",
]
