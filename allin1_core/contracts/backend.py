"""The declaration of a backend. Reading it imports nothing heavy; its target is only imported once chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from allin1_core.contracts.model import Takes
from allin1_core.contracts.options import Option
from allin1_core.contracts.parity import IDENTICAL, Parity
from allin1_core.contracts.rules import Count, Line, Name, Requirement, Target
from allin1_core.contracts.space import HOST, Space
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.stages import Stage
from allin1_core.markers import FIRST_LEVEL

#: The Protocol of the stage, for readers and type checkers; see :mod:`allin1_core.contracts.stages`.
P = TypeVar("P", covariant=True)


@dataclass(frozen=True)
class Needs:
    """Requirements, which are checked using only metadata, without importing anything.

    Attributes
    ----------
    requires
        Requirements in pip's syntax: ``("torch>=2.4",)``.
    platforms
        Prefixes of ``sys.platform``; empty for all.
    remedy
        What to do if they are not met, as a sentence.
    """

    requires: tuple[Requirement, ...] = ()
    platforms: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True)
class Backend(Generic[P]):
    """Declares an implementation of one stage, or of several consecutive stages.

    Attributes
    ----------
    name
        Letters and digits, in groups joined by single hyphens; not ``auto``. Unique among the backends of its plugin
        and stage. If two plugins use the same name, each backend is called ``plugin/name``.
    stage
        The stage that it runs, or the first of those it spans.
    target
        ``"package.module:factory"``; the factory takes a :class:`~allin1_core.contracts.stages.Setup`
        and returns the stage's callable, which may have a ``close()``. Imported only once chosen.
    summary
        One line for a table.
    consumes, produces
        Spaces of the arrays that it takes and returns.
    needs
        What must be installed.
    probe
        ``"package.module:check"``, a function without arguments that returns a
        :data:`~allin1_core.contracts.verdict.Verdict`; it may import heavy modules. None if meeting `needs` is
        sufficient.
    quick_probe
        Like `probe`, but the function imports nothing heavy, and examines files and drivers instead. Routes are chosen
        by its verdict, and `probe` is only called before the backend is set up; if that does not find it ready, another
        route is chosen. If both find it ready, they must report the same device and detail. The function returns None
        if it cannot decide, in which case `probe` is called immediately.
    parity
        How close to the reference it promises to be; None if there is no reference, as for a separator or a model of
        the plugin's own. Such a backend is eligible whatever parity is requested.
    speed
        Priors of its cost, one for each class of device on which it was measured.
    models
        Patterns (as in :mod:`fnmatch`) of the architectures that it can run, if relevant.
    spans
        The consecutive stages that it covers, if there are more than `stage`. If they end in ``metrical_prep``,
        ``metrical_dbn``, ``functional``, the backend returns beats and sections together, as
        :class:`~allin1_core.contracts.findings.Findings`.
    features
        Capabilities beyond those of every backend of its stage, which a run may require: ``tempo_prior`` of a metre
        decoder (:attr:`~allin1_core.contracts.metre.MetreParameters.tempo_prior`); ``labels`` of a backend of the stage
        ``functional`` that takes the labels from ``Setup.labels``, which models with labels other than
        :data:`~allin1_core.contracts.logits.HARMONIX_LABELS` require.
    streams
        Whether a backend of the stage ``demix`` returns a :class:`~allin1_core.contracts.stages.StreamingDemix`, which
        separates a long song block by block.
    batches
        Whether a backend of the stage ``demix`` returns a :class:`~allin1_core.contracts.stages.BatchDemix`, which
        separates several songs in one call.
    separators
        Names of the separation models (hook ``allin1_separators``) whose files it reads with ``Setup.separator_files``;
        empty for a backend that needs none.
    opt_in
        Whether it is chosen only if the user names it, never by ``auto``.
    takes
        For a backend whose first stage is ``spectrogram``: its input. With ``mix``, it is called with a
        :class:`~allin1_core.contracts.audio.Mix` and returns the four views of the mix; it is then used for models that
        take the mix, and for no others.
    api
        Level of the contract for which it was written; see :data:`allin1_core.markers.SUPPORTED_LEVELS`.
    options
        Options that the user may set, in addition to what every :class:`~allin1_core.contracts.stages.Setup` contains.
    """

    name: Name
    stage: Stage
    target: Target
    summary: Line = ""
    consumes: Space = HOST
    produces: Space = HOST
    needs: Needs = Needs()
    probe: Target | None = None
    parity: Parity | None = IDENTICAL
    speed: tuple[Speed, ...] = ()
    models: tuple[str, ...] = ("*",)
    spans: tuple[Stage, ...] = ()
    features: tuple[str, ...] = ()
    streams: bool = False
    separators: tuple[str, ...] = ()
    opt_in: bool = False
    takes: Takes = "stems"
    api: Count = FIRST_LEVEL
    options: tuple[Option, ...] = ()
    quick_probe: Target | None = None
    batches: bool = False

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages that it covers, in order."""
        return self.spans or (self.stage,)

    @property
    def device(self) -> str:
        """Kind of device that it computes on: the accelerator, if it takes or returns arrays there."""
        if self.consumes.device != "cpu":
            return self.consumes.device
        return self.produces.device
