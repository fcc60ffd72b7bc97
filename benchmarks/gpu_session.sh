#!/usr/bin/env bash
# One command for a short loan of an NVIDIA GPU: the start of the command line, the device time of the model `builtin`,
# tests on CUDA, batches of MP3 songs, old and new separation and network in turns, `cuda:all` where there are two GPUs,
# options of the network's kernels to choose from, and the separation on its CPU by number of threads. It takes less than
# nine minutes, of which the last steps get what is left (name steps to run only those), installs nothing into the
# machine, needs no network, and writes $OUT/session.json (after every step, so that an interrupted run leaves what was finished) and $OUT/session.log.
#
# The GPU machine needs Python 3.12 with torch, triton, numpy, scipy, pytest, pytest-xdist, hypothesis, einops, safetensors,
# huggingface_hub, tqdm, PyYAML, click, pluggy, packaging, rich, requests, setuptools and Cython, and a C compiler.
# Everything else is carried in the folder .gpu (about 16 MB), which git ignores through .git/info/exclude:
#
#     demucs 4.1.0, julius, soundfile, soxr, cffi, pycparser, platformdirs, pooch     wheels for Python 3.12 (3 MB)
#     allin1-core, allin1-torch                                     wheels of this tree (they carry the entry points)
#     weights/                                                      trained networks, if ALLIN1_WEIGHTS_DIR names a folder
#
#     benchmarks/gpu_session.sh prepare      here: fills .gpu, with pip and the build tools of the development environment
#     benchmarks/gpu_session.sh run          there, in the root of the tree, with .gpu carried along
#     benchmarks/gpu_session.sh run tests separation       some of the steps only
#
# The compiled plugins allin1-cython and allin1-dbn-cython are built there, from the tree.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
mode=${1:-run}
shift || true

case $mode in
prepare)
    exclude=$(git rev-parse --git-common-dir)/info/exclude
    grep -qx '/.gpu/' "$exclude" || echo '/.gpu/' >>"$exclude"
    rm -rf .gpu && mkdir -p .gpu
    platforms=()
    for tag in manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014 manylinux1; do
        platforms+=(--platform "${tag}_x86_64")
    done
    "$python" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
        "${platforms[@]}" -c constraints.txt -d .gpu \
        demucs==4.1.0 julius soundfile soxr cffi pycparser platformdirs pooch
    "$python" -m pip wheel -q --no-deps --no-build-isolation -w .gpu . plugins/allin1-torch
    if [ -n "${ALLIN1_WEIGHTS_DIR:-}" ]; then
        mkdir .gpu/weights && cp "$ALLIN1_WEIGHTS_DIR"/harmonix-fold* .gpu/weights/ && chmod -R u+w .gpu/weights
    fi
    du -sh .gpu
    ;;
run)
    site=$(mktemp -d)
    install=("$python" -m pip install -q --no-index --no-deps --no-cache-dir --target "$site")
    "${install[@]}" --no-compile .gpu/*.whl
    for plugin in allin1-cython allin1-dbn-cython; do
        "${install[@]}" --no-build-isolation "plugins/$plugin" || echo "$plugin could not be built" >&2
    done
    # As an installation does: imports must not be measured with compilation. The folder of the installed PyTorch may not be
    # writable, so bytecode goes elsewhere: that of PyTorch is written by the first run.
    unset PYTHONDONTWRITEBYTECODE
    export PYTHONPYCACHEPREFIX=$site/.bytecode
    "$python" -m compileall -q -j 0 "$site" || echo "some modules could not be compiled" >&2
    export PYTHONPATH=$site PATH=$site/bin:$PATH PYTHONUNBUFFERED=1
    [ -d .gpu/weights ] && export ALLIN1_WEIGHTS_DIR=$PWD/.gpu/weights
    exec "$python" benchmarks/gpu_session.py --out "${OUT:-.}" "$@"
    ;;
*)
    echo "Usage: gpu_session.sh prepare | run [STEP ...]" >&2
    exit 2
    ;;
esac
