"""Parts of a result: how sure it is, and what it lacks of what was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from allin1_core.contracts.logits import Logits
from allin1_core.contracts.metre import Metre
from allin1_core.contracts.result import Confidence, SegmentConfidence
from allin1_core.contracts.sections import Sections
from allin1_core.runtime.pipeline import Run


def arrays_not_given(
    run: Run, logits: Logits | None, *, activations: bool, embeddings: bool
) -> Iterator[str]:
    """Say which of the arrays that were asked for the backends of a run do not give."""
    name = next((record.backend for record in run.records if "nn" in record.stages), "the route")
    asked = (
        ("activations", activations, logits),
        ("embeddings", embeddings, None if logits is None else logits.embeddings),
    )
    for what, is_asked, found in asked:
        if is_asked and found is None:
            yield f"There are no {what} to give: {name} does not provide them."


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
