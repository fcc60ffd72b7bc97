"""From a file of a mix to a JSON file with all-in-one-infer: separation by demucs-infer, spectrogram, ``harmonix-all``, beats.

``python benchmarks/upstream_mix.py SONG.wav OUT THREADS``; `bench_mix.py` measures it as one of its sides. Its own functions
run as they are, but for the weights, which it would download: the networks take those of our ``harmonix-all``, and the
separator random ones, which do not affect the time. It reads MP3 only by torchaudio, hence a WAV file.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    song, out, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    import torch

    torch.set_num_threads(threads)
    import peers
    from allin1_backend_torch.demix_models import HTDEMUCS

    from allin1_core.runtime.session import Session

    networks = peers.all_in_one_infer_networks(Session("harmonix-all").model(), "cpu")
    import allin1_infer
    import allin1_infer.stems
    from demucs_infer.apply import BagOfModels
    from demucs_infer.htdemucs import HTDemucs

    def separator(_: str) -> BagOfModels:
        return BagOfModels([HTDemucs(["drums", "bass", "other", "vocals"], **HTDEMUCS)]).eval()

    allin1_infer.stems.get_model = separator
    # The name `analyze` of the package is the function.
    module = sys.modules["allin1_infer.analyze"]
    module.load_pretrained_model = lambda **_: networks  # type: ignore[attr-defined]
    allin1_infer.analyze(
        song,
        out_dir=out,
        model="harmonix-all",
        device="cpu",
        demix_dir=out / "demix",
        spec_dir=out / "spec",
        overwrite=True,
        # A single process: its default, a pool of processes for one song, would be slower.
        multiprocess=False,
    )


if __name__ == "__main__":
    main()
