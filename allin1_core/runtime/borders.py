"""Checks of the outputs of backends: type, location of the arrays, values, and length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from allin1_core.contracts.arrays import length_of
from allin1_core.contracts.audio import SAMPLE_RATE, Mix, Stems
from allin1_core.contracts.findings import Findings
from allin1_core.contracts.logits import HARMONIX_LABELS, Activations, Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.sections import Sections
from allin1_core.contracts.space import HOST, Space
from allin1_core.contracts.spectrogram import FRAMES_PER_SECOND, frame_count
from allin1_core.contracts.stages import Stage, given_by
from allin1_core.errors import ContractError
from allin1_core.runtime.moving import lies_in, space_of

#: Seconds by which the last event may exceed the end: slightly more than a frame.
END_S = 1.01 / FRAMES_PER_SECOND


def check_output(
    output: Any,
    stages: Sequence[Stage],
    space: Space,
    taken: Any = None,
    labels: Sequence[str] = HARMONIX_LABELS,
) -> None:
    """Check the output of a backend.

    Parameters
    ----------
    output
        The output.
    stages
        The stages that it covers.
    space
        Space in which the backend declares to return arrays.
    taken
        The input of the backend, whose length is compared; None if it is unknown.
    labels
        Labels of the model.

    Raises
    ------
    ContractError
        The output has the wrong type, or its arrays have the wrong space, shape, type, values or length.
    """
    kind = given_by(stages)
    _check_type(output, kind)
    if isinstance(output, Findings):
        _check_type(output.metre, Metre)
        _check_type(output.sections, Sections)
        if output.logits is not None:
            _check_type(output.logits, Logits)
        for part in output.parts:
            _check_record(part, space, taken, labels)
    else:
        _check_record(output, space, taken, labels)


def _check_type(output: Any, kind: type[Any]) -> None:
    if not isinstance(output, kind):
        raise ContractError(f"It returned {type(output).__name__}; wanted {kind.__name__}.")


def _check_record(output: Any, space: Space, taken: Any, labels: Sequence[str]) -> None:
    for name in output.ARRAYS:
        array = getattr(output, name)
        if array is not None and not lies_in(array, space):
            raise ContractError(
                f"It returned {name} in {space_of(array)}; its record declares arrays in {space}."
            )
    output.validate()
    if isinstance(output, Activations) and space == HOST:
        # A decoder would interpret NaN as "no beats".
        output.check_values()
    check_labels(output, labels)
    if taken is not None:
        check_length(taken, output)


def check_labels(record: Any, labels: Sequence[str]) -> None:
    """Check that logits, or the probabilities of sections, have as many labels as the model.

    Raises
    ------
    ContractError
        They have more or fewer.
    """
    count = len(labels)
    if isinstance(record, Logits):
        count = int(record.function.shape[0])
    elif isinstance(record, Sections) and record.label_probabilities is not None:
        count = len(record.label_probabilities[0])
    if count != len(labels):
        raise ContractError(
            f"{type(record).__name__} with {count} labels; the model has {len(labels)}: {', '.join(labels)}."
        )


def check_length(taken: Any, given: Any) -> None:
    """Check that the output of a backend is as long as its input.

    Raises
    ------
    ContractError
        It is longer or shorter, or an event lies beyond the end.
    """
    if isinstance(given, Sections):
        if abs(given.segments[-1].end - taken.duration_s) > END_S:
            raise ContractError(
                f"Its sections end at {given.segments[-1].end:.3f} s; the input ends at"
                f" {taken.duration_s:.3f} s."
            )
    elif isinstance(given, Metre):
        if len(given.beat_times_s) and given.beat_times_s[-1] > taken.duration_s + END_S:
            raise ContractError(
                f"Its last beat is at {given.beat_times_s[-1]:.3f} s; the input ends at"
                f" {taken.duration_s:.3f} s."
            )
    elif isinstance(given, (Mix, Stems)):
        if length_of(given) != length_of(taken):
            raise ContractError(
                f"Its stems are {given.duration_s:.3f} s long; the song has"
                f" {length_of(taken) / SAMPLE_RATE:.3f} s ({length_of(given)} samples of {length_of(taken)})."
            )
    else:
        wanted = _frames(taken, given)
        if length_of(given) != wanted:
            raise ContractError(
                f"It returned {length_of(given)} frames; its input of {taken.duration_s:.3f} s has {wanted}."
            )


def _frames(taken: Any, given: Any) -> int:
    """Number of frames that an input should result in."""
    if isinstance(given, Activations) and given.frames_per_second != FRAMES_PER_SECOND:
        frames: float = taken.duration_s * given.frames_per_second
        return round(frames)
    length = length_of(taken)
    return frame_count(length) if isinstance(taken, (Mix, Stems)) else length
