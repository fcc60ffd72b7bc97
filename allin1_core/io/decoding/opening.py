"""Choice of the reader for a file, by its content; plugins may add readers before and after those of the core."""

from __future__ import annotations

import logging

from allin1_core.errors import AudioError, brief
from allin1_core.installing import install_command
from allin1_core.io.decoding import flac, libsndfile, mp3, ogg
from allin1_core.io.decoding.loaders import open_by_loader
from allin1_core.io.decoding.reader import Reader
from allin1_core.io.decoding.source import Source
from allin1_core.io.decoding.unfinished import finished

log = logging.getLogger(__name__)


def open_reader(source: Source, pcm16_full_scale: int = 32_768, *, with_av: bool) -> Reader:
    """Find the reader of an open file.

    Parameters
    ----------
    source
        The file; closed with the reader, or if there is none.
    pcm16_full_scale
        Divisor of 16-bit PCM.
    with_av
        Whether to use FFmpeg for files that libsndfile cannot read.

    Raises
    ------
    AudioError
        The file is not in a supported format.
    """
    refusal: AudioError | None = None
    try:
        before = open_by_loader(source, before_core=True)
        reader = before.reader
        if reader is None:
            reader = _by_libsndfile(source, pcm16_full_scale, with_av=with_av)
        if reader is None and with_av:
            try:
                reader = _by_ffmpeg(source)
            except AudioError as error:
                refusal = error
        failures = before.failures
        if reader is None:
            behind = open_by_loader(source, before_core=False)
            reader, failures = behind.reader, [*failures, *behind.failures]
        source.check()
    except BaseException:
        source.close()
        raise
    for failure in failures if reader is not None else ():
        log.warning("%s: %s", source.path, failure)
    if reader is None:
        source.close()
        if failures:
            raise AudioError(
                f"cannot be read. {' '.join(failures)}",
                remedy="Report this to the author of the plugin.",
                path=source.path,
            ) from refusal
        if refusal is not None:
            raise refusal
        raise AudioError(
            f"is not audio that {libsndfile.version()} can read.",
            remedy="If it is audio, convert it to WAV or FLAC, or install PyAV to read more formats:"
            f" {install_command('allin1-core', 'av')}",
            path=source.path,
        )
    return reader


def _by_ffmpeg(source: Source) -> Reader:
    from allin1_core.io.decoding.ffmpeg import FFmpegReader

    try:
        import av

        av.open  # noqa: B018 - fails if a folder called av hides the package
    except Exception as error:  # for example because a shared library is missing
        raise AudioError(
            f"is not audio that {libsndfile.version()} can read, and PyAV cannot be imported ({brief(error)}).",
            remedy="Reinstall it: "
            + install_command("allin1-core", "av", options="--force-reinstall"),
            path=source.path,
        ) from error
    return FFmpegReader(source)


def _by_libsndfile(source: Source, pcm16_full_scale: int, *, with_av: bool) -> Reader | None:
    suffix = source.path.suffix.lower()
    try:
        if links := ogg.find_links(source, named_ogg=suffix in (".ogg", ".oga", ".opus")):
            return ogg.OggReader(source, links)
        if stream := flac.find_first(source):
            return flac.FlacReader(source, stream, pcm16_full_scale)
    except libsndfile.NotReadableError:
        return None
    first = mp3.find_first(source, named_mp3=suffix == ".mp3")
    if first is not None:
        return mp3.Mp3Reader(source, *first)
    try:
        decoder = libsndfile.Decoder(source, finished(source), pcm16_full_scale)
    except libsndfile.NotReadableError:
        return None
    # libsndfile estimates the length of MPEG audio other than layer III; FFmpeg reads it to the end.
    guesses = decoder.format == "MP3"
    if guesses and with_av:
        decoder.close()
        return None
    return libsndfile.LibsndfileReader(source, decoder, guesses_length=guesses)
