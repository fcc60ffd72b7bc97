"""A backend, declared. Reading the record imports nothing heavy; its target is imported once chosen."""

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

#: The stage's Protocol, for the reader and the type checker; see :mod:`allin1_core.contracts.stages`.
P = TypeVar("P", covariant=True)


@dataclass(frozen=True)
class Needs:
    """What must be installed, checked from metadata without importing anything.

    Attributes
    ----------
    requires
        Requirements as pip reads them: ``("torch>=2.4",)``.
    platforms
        Prefixes of ``sys.platform``; empty for all.
    remedy
        What to do where they are not met, as a sentence.
    """

    requires: tuple[Requirement, ...] = ()
    platforms: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True)
class Backend(Generic[P]):
    """One implementation of a stage, or of several consecutive ones.

    Attributes
    ----------
    name
        Letters and digits, in groups joined by single hyphens; not ``auto``. Unique among the backends of its plugin and
        stage. Where two plugins use one name, each backend is called ``plugin/name``.
    stage
        The stage that it runs, or the first of those it spans.
    target
        ``"package.module:factory"``; the factory takes a :class:`~allin1_core.contracts.stages.Setup`
        and returns the stage's callable, which may have a ``close()``. Imported only once chosen.
    summary
        One line for a table.
    consumes, produces
        Spaces of the arrays that it takes and gives.
    needs
        What must be installed.
    probe
        ``"package.module:check"``, a function without arguments that returns a
        :data:`~allin1_core.contracts.verdict.Verdict`; it may import heavy modules. None if whatever
        `needs` asks for is enough.
    quick_probe
        The same for a function that imports nothing heavy, and looks at files and drivers instead. Routes are chosen by
        its verdict, and `probe` is asked only once the backend is to be set up; if it finds the backend not ready after
        all, another route is chosen. Where both find it ready, device and detail are the same. It returns None where it
        cannot tell, and then `probe` is asked at once.
    parity
        How close to the reference it promises to be; None where no reference exists, as for a separator or a model of the
        plugin's own. Such a backend is eligible whatever parity was asked for.
    speed
        Shipped priors, one for each class of device that it was measured on.
    models
        Patterns (as in :mod:`fnmatch`) of the architectures that it can run, where that matters.
    spans
        The consecutive stages that it covers, where that is more than `stage`. Those that end in ``metrical_prep``,
        ``metrical_dbn``, ``functional`` mean a backend that gives beats and sections at once, as
        :class:`~allin1_core.contracts.findings.Findings`.
    features
        What it can do beyond what every backend of its stage can, where a run may ask for it: ``tempo_prior`` of a
        metre decoder (:attr:`~allin1_core.contracts.metre.MetreParameters.tempo_prior`); ``labels`` of a backend of the
        stage ``functional`` that takes the labels from ``Setup.labels``, needed for models with other labels than
        :data:`~allin1_core.contracts.logits.HARMONIX_LABELS`.
    streams
        Whether what a backend of the stage ``demix`` gives is a
        :class:`~allin1_core.contracts.stages.StreamingDemix`, which separates a long song block by block.
    separators
        Names of the separation models (hook ``allin1_separators``) whose files it reads by
        ``Setup.separator_files``; empty for a backend that needs none.
    opt_in
        Chosen only when a user names it, never by ``auto``.
    takes
        For a backend whose first stage is ``spectrogram``: what it transforms. ``mix`` means that it is called with a
        :class:`~allin1_core.contracts.audio.Mix` and gives the mix's four views; it runs for models that take the mix,
        and for no others.
    api
        Level of the contract that it was written for; see :data:`allin1_core.markers.SUPPORTED_LEVELS`.
    options
        Options that a user may set, besides what every :class:`~allin1_core.contracts.stages.Setup` holds.
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

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Every stage that it covers, in order."""
        return self.spans or (self.stage,)

    @property
    def device(self) -> str:
        """Kind of device that it computes on: the accelerator, where it takes or gives arrays there."""
        if self.consumes.device != "cpu":
            return self.consumes.device
        return self.produces.device
