"""Parts of a result: what it is to hold, how sure it is, and what it lacks of what was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from allin1_core.contracts.logits import Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.model import ModelCard
from allin1_core.contracts.result import AnalysisResult, Confidence, SegmentConfidence
from allin1_core.contracts.sections import Sections
from allin1_core.errors import InputError
from allin1_core.runtime.pipeline import Run


def arrays_not_given(
    logits: Logits | None, *, activations: bool, embeddings: bool
) -> tuple[str, ...]:
    """Name the arrays that were asked for and that the backends of the run did not give."""
    asked = (
        ("activations", activations, logits),
        ("embeddings", embeddings, None if logits is None else logits.embeddings),
    )
    return tuple(what for what, is_asked, found in asked if is_asked and found is None)


def warnings_of_missing(missing: Sequence[str], run: Run) -> list[str]:
    """Say which arrays a result lacks, and whose fault that is."""
    name = next((record.backend for record in run.records if "nn" in record.stages), "the route")
    return [f"There are no {what} to give: {name} does not provide them." for what in missing]


def confidence_of(
    metre: Metre | None, sections: Sections | None, labels: Sequence[str]
) -> Confidence | None:
    """How sure beats and sections are; `labels` are those of the model."""
    segments = None if sections is None else _segment_confidences(sections, labels)
    if metre is None or metre.beat_confidences is None:
        return None if segments is None else Confidence([], None, {}, segments)
    return Confidence(
        beats=metre.beat_confidences.tolist(),
        metre=metre.metre_confidence,
        metre_log_probabilities=dict(metre.metre_log_probabilities),
        segments=segments,
    )


def _segment_confidences(
    sections: Sections, names: Sequence[str]
) -> list[SegmentConfidence] | None:
    if sections.boundary_strengths is None or sections.label_probabilities is None:
        return None
    strengths = (None, *sections.boundary_strengths)
    return [
        SegmentConfidence(strength, dict(zip(names, labels, strict=True)))
        for strength, labels in zip(strengths, sections.label_probabilities, strict=True)
    ]


def outputs_in(result: AnalysisResult) -> tuple[str, ...]:
    """What was looked for in an earlier run; nothing where that is not known."""
    return () if result.provenance is None else result.provenance.outputs


def outputs_of(card: ModelCard, only: str | None) -> tuple[str, ...]:
    """What to look for with a model.

    Raises
    ------
    InputError
        If it does not find `only`.
    """
    if only is None:
        return card.outputs
    if only not in card.outputs:
        raise InputError(
            f"The model {card.name} does not find {only}.",
            remedy=f"It finds {' and '.join(card.outputs)}.",
        )
    return (only,)
