"""Parts of a result: its outputs, their confidence, and requested arrays that are missing."""

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
    """Names of the arrays that were requested but not provided by the backends of the run."""
    asked = (
        ("activations", activations, logits),
        ("embeddings", embeddings, None if logits is None else logits.embeddings),
    )
    return tuple(what for what, is_asked, found in asked if is_asked and found is None)


def warnings_of_missing(missing: Sequence[str], run: Run) -> list[str]:
    """Warnings about arrays that a result lacks, and the backend that did not provide them."""
    name = next((record.backend for record in run.records if "nn" in record.stages), "the route")
    return [f"There are no {what}: {name} does not provide them." for what in missing]


def confidence_of(
    metre: Metre | None, sections: Sections | None, labels: Sequence[str]
) -> Confidence | None:
    """Confidence of beats and sections; `labels` are those of the model."""
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
    """The outputs that an earlier run computed; empty if they are unknown."""
    return () if result.provenance is None else result.provenance.outputs


def outputs_of(card: ModelCard, only: str | None) -> tuple[str, ...]:
    """The outputs to compute with a model.

    Raises
    ------
    InputError
        The model does not provide `only`.
    """
    if only is None:
        return card.outputs
    if only not in card.outputs:
        raise InputError(
            f"The model {card.name} does not find {only}.",
            remedy=f"It finds {' and '.join(card.outputs)}.",
        )
    return (only,)
