"""The backend that is chosen, and the reason for each that is not."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import sys
import types
from typing import get_args

import pytest

from allin1_core.contracts.backend import Backend, Needs
from allin1_core.contracts.parity import IDENTICAL, LOSSY, close, event
from allin1_core.contracts.route import Choice, RouteRequest
from allin1_core.contracts.space import HOST, Bridge, Space
from allin1_core.contracts.speed import Speed
from allin1_core.contracts.verdict import Broken, Ready, StartUp, Unavailable
from allin1_core.errors import SelectionError
from allin1_core.hookspecs import SelectionSpecs
from allin1_core.markers import API_LEVEL
from allin1_core.plugins.collecting import collect_offers
from allin1_core.selection.candidate import Gate
from allin1_core.selection.cost import Priors
from allin1_core.selection.no_route import NoRouteError
from allin1_core.selection.policy import decide
from allin1_core.selection.probing import Probes
from allin1_core.selection.routing import KEPT

NPU = Space("arrays", "npu")
PRIOR = "a test"


def fast(name="fast", stage="spectrogram", rate=1e-9, setup_s=0.0, **changes):
    speed = (Speed("cpu", setup_s, rate, PRIOR),)
    return Backend(name=name, stage=stage, target="nowhere:create", speed=speed, **changes)


def probe_broken():
    return Broken("libdevice.so: no such file")


def probe_absent():
    return Unavailable("No device was found.", "Plug one in.")


def probe_hangs():
    import time

    time.sleep(30)


def probe_raises():
    raise OSError("cannot open the driver")


def probe_npu():
    return Ready("npu:0")


def probe_of_wrong_type():
    return True


@pytest.fixture
def choose(isolated_plugins, make_plugin):
    """Decide for the spectrogram of 100 s, with one plugin that offers these backends."""

    def run(*backends, bridges=(), hooks=None, failures=None, probes=None, **request):
        by_stage = {}
        for backend in backends:
            by_stage.setdefault(f"allin1_{backend.stage}", []).append(backend)
        functions = {hook: (lambda found=found: found) for hook, found in by_stage.items()}
        plugin = make_plugin(allin1_bridges=lambda: bridges, **functions, **(hooks or {}))
        plugins = isolated_plugins(mine=plugin)
        choices = tuple(Choice(*pair) for pair in request.pop("choices", ()))
        request = {"stages": ("spectrogram",), "audio_s": 100.0, "choices": choices, **request}
        offers = collect_offers(plugins)
        assert offers.problems == ()
        return decide(
            plugins,
            offers,
            RouteRequest(**request),
            probes or Probes(),
            failures or {},
            Priors(offers.bridges),
        )

    return run


def refusal(decision, name):
    for candidates in decision.candidates.values():
        for candidate in candidates:
            if candidate.backend.name == name:
                return candidate.refusal
    raise LookupError(name)


def test_the_fastest_by_its_prior_is_chosen(choose):
    decision = choose(fast())
    assert str(decision.chosen) == "spectrogram=fast"
    assert decision.decided_by == "auto"
    chosen = decision.candidate(decision.chosen.steps[0].backend)
    assert chosen.evidence == f"prior: {PRIOR}"


def test_a_backend_of_unknown_speed_comes_after_everything_known(choose):
    decision = choose(Backend("unknown", "spectrogram", "nowhere:create"))
    assert str(decision.chosen) == "spectrogram=reference"
    assert refusal(decision, "unknown") is None


@pytest.mark.parametrize(
    ("changes", "gate", "reason", "remedy"),
    [
        ({"api": API_LEVEL + 1}, "api", "level", "--upgrade"),
        ({"opt_in": True}, "opt-in", "requested by name", "--backend spectrogram=fast"),
        (
            {"needs": Needs(requires=("no-such-package>=2",))},
            "needs",
            "no-such-package is not installed",
            'pip install "no-such-package>=2"',
        ),
        (
            {"needs": Needs(requires=("numpy>=999",), remedy="Wait a while.")},
            "needs",
            ">=999 is required",
            "Wait a while.",
        ),
        ({"needs": Needs(platforms=("amiga",))}, "needs", "It runs on amiga", ""),
        ({"probe": f"{__name__}:probe_absent"}, "probe", "No device was found.", "Plug one in."),
        ({"probe": f"{__name__}:probe_broken"}, "probe", "Libdevice.so: no such file", "Reinstall"),
        ({"probe": f"{__name__}:probe_raises"}, "probe", "OSError: cannot open the driver", ""),
        ({"probe": f"{__name__}:probe_of_wrong_type"}, "probe", "which is not a verdict", ""),
        ({"probe": "no_such_module:check"}, "probe", "ModuleNotFoundError", ""),
        ({"parity": LOSSY}, "parity", "promises lossy", ""),
    ],
)
def test_each_gate_refuses_with_a_reason_and_the_next_takes_over(
    choose, changes, gate, reason, remedy
):
    decision = choose(fast(**changes))
    assert str(decision.chosen) == "spectrogram=reference"
    found = refusal(decision, "fast")
    assert found.gate == gate
    assert reason in found.reason
    assert remedy in found.remedy


def test_a_model_of_another_architecture_is_refused(choose):
    backends = [fast(stage="nn", models=("all-in-one",)), fast("other", "nn", models=("my-*",))]
    decision = choose(*backends, stages=("nn",), architecture="my-rnn")
    assert str(decision.chosen) == "nn=other"
    assert refusal(decision, "fast").gate == "model"


def test_a_closer_promise_may_be_requested(choose):
    decision = choose(fast(parity=close(1e-3)), parity=close(1e-6))
    assert refusal(decision, "fast").gate == "parity"
    decision = choose(fast(parity=close(1e-3)), parity=IDENTICAL)
    assert refusal(decision, "fast").gate == "parity"


def test_a_bound_on_events_is_as_good_as_one_on_values(choose):
    decision = choose(fast(parity=event(0.01)))
    assert str(decision.chosen) == "spectrogram=fast"
    assert refusal(choose(fast(parity=event(0.01)), parity=IDENTICAL), "fast").gate == "parity"


def test_a_probe_that_hangs_is_broken_after_its_deadline(choose):
    probes = Probes(deadline_s=0.05)
    decision = choose(fast(probe=f"{__name__}:probe_hangs"), probes=probes)
    assert "did not answer within 0.05 s" in refusal(decision, "fast").reason


def test_a_probe_runs_once_for_all_the_backends_that_share_it(choose, monkeypatch):
    calls = []

    def counting():
        calls.append(1)
        return Ready("cpu")

    module = types.ModuleType("probe_counting")
    module.check = counting
    monkeypatch.setitem(__import__("sys").modules, "probe_counting", module)
    choose(fast(probe="probe_counting:check"), fast("b", probe="probe_counting:check"))
    assert calls == [1]


def test_no_probe_runs_for_a_backend_that_is_out_anyway(choose):
    decision = choose(
        fast(probe=f"{__name__}:probe_raises"), choices=(("spectrogram", "reference"),)
    )
    assert refusal(decision, "fast").gate == "choice"


def test_what_is_named_is_taken_though_it_is_slower(choose):
    decision = choose(fast(rate=1e3), choices=(("spectrogram", "fast"),))
    assert str(decision.chosen) == "spectrogram=fast"


def test_naming_a_plugin_chooses_among_its_backends(choose):
    decision = choose(fast(rate=1e3), fast("faster", rate=1e2), choices=(("spectrogram", "mine"),))
    assert str(decision.chosen) == "spectrogram=faster"


def test_an_opt_in_runs_when_its_own_name_is_given_but_not_its_plugins(choose):
    backends = [fast("quick", opt_in=True), fast(rate=1e3)]
    named = choose(*backends, choices=(("spectrogram", "quick"),))
    assert str(named.chosen) == "spectrogram=quick"
    by_plugin = choose(*backends, choices=(("spectrogram", "mine"),))
    assert str(by_plugin.chosen) == "spectrogram=fast"


def test_what_is_named_and_cannot_run_is_an_error_and_never_replaced(choose):
    with pytest.raises(SelectionError, match=r"spectrogram=fast, cannot run.*No device was found"):
        choose(fast(probe=f"{__name__}:probe_absent"), choices=(("spectrogram", "fast"),))


def test_an_unknown_name_is_an_error_that_names_what_there_is(choose):
    with pytest.raises(SelectionError, match=r"called fats.*Did you mean fast"):
        choose(fast(), choices=(("spectrogram", "fats"),))
    with pytest.raises(SelectionError, match="pip install .*allin1-torch"):
        choose(fast(), choices=(("spectrogram", "torch"),))
    with pytest.raises(SelectionError, match=r"no stage spektrogram.*demix, spectrogram"):
        choose(fast(), choices=(("spektrogram", "fast"),))


def test_a_backend_that_failed_is_not_chosen_again(choose):
    decision = choose(fast(), failures={("spectrogram", "fast"): "It is broken."})
    assert str(decision.chosen) == "spectrogram=reference"
    assert refusal(decision, "fast").reason == "It is broken."


def test_a_spectrogram_of_what_the_model_does_not_take_is_refused(choose):
    decision = choose(fast(), fast("views", takes="mix"))
    assert str(decision.chosen) == "spectrogram=fast"
    found = refusal(decision, "views")
    words = "It transforms the mix; the model's spectrogram is of the stems."
    assert (found.gate, found.reason) == ("model", words)
    decision = choose(fast(), fast("views", takes="mix"), takes="mix")
    assert str(decision.chosen) == "spectrogram=views"
    found = refusal(decision, "fast")
    assert found.reason == "It transforms the stems; the model's spectrogram is of the mix."


def test_without_plugins_the_reference_transforms_what_the_model_takes(choose):
    assert str(choose(takes="stems").chosen) == "spectrogram=reference"
    assert str(choose(takes="mix").chosen) == "spectrogram=reference-mix"
    with pytest.raises(SelectionError, match="the model's spectrogram is of the mix"):
        choose(fast(), takes="mix", choices=(("spectrogram", "fast"),))


def test_every_gate_gives_its_reason_in_a_sentence(choose):
    """One request for each gate; the words are what `allin1 explain` prints."""
    named = {"choices": (("spectrogram", "reference"),)}
    cases = {
        "failed": (fast(), {"failures": {("spectrogram", "fast"): "It failed earlier."}}),
        "api": (fast(api=API_LEVEL + 1), {}),
        "choice": (fast(), named),
        "opt-in": (fast(opt_in=True), {}),
        "parity": (fast(parity=close(1e-3)), {"parity": close(1e-6)}),
        "needs": (fast(needs=Needs(requires=("no-such-package",))), {}),
        "device": (on_npu("fast", "spectrogram", 1e-6), {"device": "cpu"}),
        "probe": (fast(probe=f"{__name__}:probe_absent"), {}),
    }
    words = {
        "failed": "It failed earlier.",
        "api": f"It was written for level {API_LEVEL + 1} of the plugin contract; this core supports {API_LEVEL}.",
        "choice": "reference was requested for stage spectrogram.",
        "opt-in": "It runs only when requested by name.",
        "parity": "It promises within 0.001; within 1e-06 was requested.",
        "needs": "no-such-package is not installed.",
        "device": "It runs on npu, not cpu.",
        "probe": "No device was found.",
    }
    for gate, (backend, request) in cases.items():
        decision = choose(backend, **request)
        found = refusal(decision, "fast")
        assert (found.gate, found.reason) == (gate, words[gate])
        assert f"{gate}: {words[gate]}" in str(decision)
    nn = choose(fast(stage="nn", models=("x",)), fast("y", "nn"), stages=("nn",))
    assert refusal(nn, "fast").gate == "model"
    assert refusal(nn, "fast").reason == "It cannot run models of architecture all-in-one."
    # Every gate that there is has been seen, but for those that have a test of their own.
    assert {*cases, "model", "feature", "bridge"} == set(get_args(Gate))


def test_a_backend_without_a_feature_that_is_requested_is_refused(choose):
    features = (("metrical_dbn", "tempo_prior"),)
    plain, able = (
        fast(stage="metrical_dbn"),
        fast("able", "metrical_dbn", features=("tempo_prior",)),
    )
    request = {"stages": ("metrical_dbn",)}
    assert str(choose(plain, **request).chosen) == "metrical_dbn=fast"
    decision = choose(plain, able, features=features, **request)
    assert str(decision.chosen) == "metrical_dbn=able"
    found = refusal(decision, "fast")
    assert (found.gate, found.reason) == ("feature", "It does not support a prior over tempo.")
    assert "--tempo-prior none" in found.remedy
    # Being named does not make it able, and the feature of another stage is not its concern.
    named = (("metrical_dbn", "fast"),)
    with pytest.raises(SelectionError, match="does not support a prior over tempo"):
        choose(plain, features=features, choices=named, **request)
    assert str(choose(fast(), features=features).chosen) == "spectrogram=fast"


def test_a_backend_that_decodes_logits_has_to_keep_a_steady_phase_by_itself(choose):
    request = {
        "stages": ("metrical_prep", "metrical_dbn"),
        "features": (("metrical_dbn", "steady_phase"),),
    }
    span = {"stage": "metrical_prep", "spans": ("metrical_prep", "metrical_dbn")}
    fused = fast("fused", rate=1e-9, **span)
    decision = choose(fused, **request)
    assert str(decision.chosen) == "metrical_prep=reference, metrical_dbn=reference"
    assert "--no-steady-phase" in refusal(decision, "fused").remedy
    able = fast("able", rate=1e-9, features=("steady_phase",), **span)
    assert str(choose(able, **request).chosen) == "metrical_prep=able"


def test_ties_go_to_the_stronger_parity_then_by_name(choose):
    decision = choose(
        fast("a", rate=1.0, parity=close(1e-6)),
        fast("z", rate=1.01),
        choices=(("spectrogram", "mine"),),
    )
    assert str(decision.chosen) == "spectrogram=z"
    decision = choose(fast("b", rate=1.0), fast("a", rate=1.0), choices=(("spectrogram", "mine"),))
    assert str(decision.chosen) == "spectrogram=a"


def test_a_long_stage_hides_no_difference_in_a_short_one(choose):
    backends = [
        fast("net", "nn", 1.0),
        fast("slow", "functional", 0.003),
        fast("quick", "functional", 0.001, parity=event(0.0)),
    ]
    stages = ("nn", "functional")
    choices = tuple((stage, "mine") for stage in stages)
    decision = choose(*backends, stages=stages, choices=choices)
    # Together they are within 0.3 percent.
    assert str(decision.chosen) == "nn=net, functional=quick"


def test_a_long_stage_is_a_tie_by_itself_whatever_the_short_ones_offer(choose):
    # More combinations of the short stages than are kept, each with the cheaper network.
    backends = [fast("exact", "nn", 1.01), fast("near", "nn", 1.0, parity=close(1e-5))]
    for stage in ("spectrogram", "metrical_prep", "functional"):
        backends += [fast(letter, stage, 1e-6 * n) for n, letter in enumerate("abcd")]
    stages = ("spectrogram", "nn", "metrical_prep", "functional")
    choices = tuple((stage, "mine") for stage in stages)
    decision = choose(*backends, stages=stages, choices=choices)
    assert [step.backend.name for step in decision.chosen.steps] == [*("a", "exact", "a", "a")]
    # The estimate is what it costs, without a charge.
    assert decision.chosen.cost_s == pytest.approx(101.0)


def test_a_weaker_promise_wins_when_it_is_faster_by_more_than_the_charge(choose):
    for rate, chosen in ((0.96, "near"), (0.98, "exact")):
        backends = [fast("exact", rate=1.0), fast("near", rate=rate, parity=close(1e-6))]
        decision = choose(*backends, choices=(("spectrogram", "mine"),))
        assert str(decision.chosen) == f"spectrogram={chosen}"


def test_what_costs_the_same_goes_to_fewer_moves_then_by_name(choose):
    free = (Bridge(HOST, NPU, "nowhere:up"), Bridge(NPU, HOST, "nowhere:down"))
    backends = [on_npu("a", "spectrogram", 1.0), fast("b", rate=1.0), fast("c", rate=1.0)]
    decision = choose(*backends, bridges=free, choices=(("spectrogram", "mine"),))
    assert [str(route) for route in decision.routes] == [
        f"spectrogram={name}" for name in ("b", "c", "a")
    ]


def on_npu(name, stage, rate, **changes):
    return fast(name, stage, rate, consumes=NPU, produces=NPU, **changes)


def bridges(bytes_per_second):
    return (
        Bridge(HOST, NPU, "nowhere:up", bytes_per_second),
        Bridge(NPU, HOST, "nowhere:down", bytes_per_second),
    )


def test_a_slower_neighbour_beats_a_fast_one_across_a_slow_bus(choose):
    # On the device the spectrogram costs twice, but its output need not cross: 130 kB/s at 1 MB/s.
    backends = [
        fast("host", "spectrogram", 0.01),
        on_npu("near", "spectrogram", 0.02),
        on_npu("net", "nn", 0.001),
    ]
    choices = (("spectrogram", "mine"), ("nn", "mine"))
    request = {"stages": ("spectrogram", "nn"), "start": NPU, "choices": choices}
    assert "near" in str(choose(*backends, bridges=bridges(1e6), **request).chosen)
    # With a fast bus, and with the stems in NumPy from the start, the host's is better.
    request["start"] = HOST
    assert "host" in str(choose(*backends, bridges=bridges(1e9), **request).chosen)


def test_a_long_request_and_a_short_one_go_different_ways(choose):
    backends = [fast("ready", rate=0.1), fast("warms-up", rate=0.001, setup_s=5.0)]
    choices = (("spectrogram", "mine"),)
    short = choose(*backends, audio_s=10.0, choices=choices)
    long = choose(*backends, audio_s=3600.0, choices=choices)
    assert (str(short.chosen), str(long.chosen)) == ("spectrogram=ready", "spectrogram=warms-up")


def test_a_backend_that_spans_stages_is_a_longer_edge(choose):
    fused = fast("fused", "spectrogram", 1e-6, spans=("spectrogram", "nn"))
    decision = choose(fused, stages=("spectrogram", "nn", "functional"))
    assert [s.backend.name for s in decision.chosen.steps] == ["fused", "reference"]
    # It must not swallow a stage whose output is wanted, or that was given to another.
    decision = choose(fused, stages=("spectrogram", "nn"), choices=(("nn", "reference"),))
    assert refusal(decision, "fused").gate == "choice"


def test_a_span_into_one_branch_is_not_taken_when_both_are_wanted(choose):
    fused = fast("fused", "nn", 1e-6, spans=("nn", "metrical_prep"))
    metre = ("nn", "metrical_prep", "metrical_dbn")
    assert "fused" in str(choose(fused, stages=metre).chosen)
    assert "fused" not in str(choose(fused, stages=(*metre, "functional")).chosen)


def test_a_model_of_mixes_does_not_take_stems_and_says_so(choose):
    fused = fast("rnn", "demix", spans=("demix", "spectrogram", "nn"), models=("my-rnn",))
    request = {"stages": ("spectrogram", "nn"), "architecture": "my-rnn"}
    with pytest.raises(SelectionError, match=r"nn can only be run by rnn.*without stems"):
        choose(fused, **request)
    request["stages"] = ("demix", "spectrogram", "nn")
    assert str(choose(fused, **request).chosen) == "demix=rnn"


def test_a_backend_that_no_bridge_leads_to_is_refused_with_the_spaces(choose):
    decision = choose(on_npu("lonely", "spectrogram", 1e-9))
    assert str(decision.chosen) == "spectrogram=reference"
    assert refusal(decision, "lonely").gate == "bridge"
    assert refusal(decision, "lonely").reason == "No bridge leads from numpy/cpu to arrays/npu."
    assert "bridge: No bridge leads from numpy/cpu to arrays/npu." in str(decision)


def test_a_backend_whose_output_no_bridge_brings_on_is_refused(choose):
    up = Bridge(HOST, NPU, "nowhere:up")
    decision = choose(on_npu("lonely", "spectrogram", 1e-9), bridges=[up])
    assert refusal(decision, "lonely").reason == "No bridge leads from arrays/npu to numpy/cpu."


def test_what_only_backends_without_a_bridge_lead_to_is_refused_too(choose):
    backends = [on_npu("first", "spectrogram", 1e-9), on_npu("second", "nn", 1e-9)]
    decision = choose(*backends, stages=("spectrogram", "nn"))
    assert str(decision.chosen) == "spectrogram=reference, nn=reference"
    for name in ("first", "second"):
        assert refusal(decision, name).gate == "bridge"
    # With a way there and back none lacks anything.
    decision = choose(*backends, stages=("spectrogram", "nn"), bridges=bridges(1e9))
    assert str(decision.chosen) == "spectrogram=first, nn=second"


def test_what_was_named_and_no_bridge_leads_to_is_an_error_that_explains_everything(choose):
    named = (("spectrogram", "lonely"),)
    with pytest.raises(NoRouteError) as caught:
        choose(on_npu("lonely", "spectrogram", 1e-9), fast(parity=close(1.0)), choices=named)
    assert "spectrogram=lonely, cannot run. lonely: No bridge leads from" in str(caught.value)
    explanation = caught.value.explanation
    assert "asked for  100 s of audio from numpy/cpu" in explanation
    assert "route      none" in explanation
    assert "bridge: No bridge leads from numpy/cpu to arrays/npu." in explanation
    assert "choice: lonely was requested" in explanation
    values = caught.value.values
    assert values["route"] is None
    assert values["named"] == {"spectrogram": {"name": "lonely", "source": "argument"}}
    assert "No bridge leads" in values["trouble"]["message"]
    gates = {c["name"]: c["refusal"]["gate"] for c in values["stages"]["spectrogram"]}
    assert gates.pop("lonely") == "bridge"
    assert set(gates) >= {"fast", "reference"}
    assert set(gates.values()) == {"choice"}
    json.dumps(values)


@pytest.mark.parametrize(
    "request_",
    [
        {"device": "npu"},
        {"parity": IDENTICAL, "choices": (("spectrogram", "mine"),)},
        {"stages": ("demix", "spectrogram")},
    ],
)
def test_every_refusal_of_a_route_is_explained(choose, request_):
    with pytest.raises(NoRouteError) as caught:
        choose(fast(parity=close(1e-3)), **request_)
    assert "spectrogram" in caught.value.explanation
    assert caught.value.values["trouble"]["message"] == caught.value.message
    # Other processes learn of the error alone.
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_a_device_is_used_where_a_stage_can_and_the_rest_stays_on_the_cpu(choose):
    backends = [
        on_npu("net", "nn", 1.0, probe=f"{__name__}:probe_npu"),
        fast("net-cpu", "nn", 1e-6),
    ]
    stages = ("spectrogram", "nn")
    decision = choose(*backends, bridges=bridges(1e9), stages=stages, device="npu")
    assert str(decision.chosen) == "spectrogram=reference, nn=net"
    assert refusal(decision, "net-cpu").gate == "device"
    decision = choose(*backends, bridges=bridges(1e9), stages=stages, device="cpu")
    assert refusal(decision, "net").gate == "device"


def test_every_stage_that_can_run_on_the_device_does(choose):
    probe = {"probe": f"{__name__}:probe_npu"}
    backends = [on_npu("npu", stage, 1.0, **probe) for stage in ("nn", "functional")]
    stages = ("spectrogram", "nn", "metrical_prep", "functional")
    decision = choose(*backends, bridges=bridges(1e9), stages=stages, device="npu")
    assert str(decision.chosen) == (
        "spectrogram=reference, nn=npu, metrical_prep=reference, functional=npu"
    )


def test_a_device_that_nothing_can_use_is_an_error_with_its_reason(choose):
    broken = on_npu("net", "spectrogram", 1.0, probe=f"{__name__}:probe_absent")
    with pytest.raises(SelectionError, match=r"Device npu cannot be used.*No device was found"):
        choose(broken, bridges=bridges(1e9), device="npu")
    with pytest.raises(SelectionError, match="No installed backend runs on device tpu"):
        choose(fast(), device="tpu")


def test_a_mix_without_a_separator_names_the_way_out(choose):
    with pytest.raises(SelectionError, match="--stems-dir"):
        choose(stages=("demix", "spectrogram"))


def test_a_plugin_may_choose_among_the_routes(choose):
    def cheapest_of_host(request, routes):
        assert request.audio_s == 100.0
        return next(r for r in routes if "slow" in str(r))

    decision = choose(
        fast(), fast("slow", rate=1.0), hooks={"allin1_select_route": cheapest_of_host}
    )
    assert str(decision.chosen) == "spectrogram=slow"
    assert decision.decided_by == "mine"


@pytest.mark.parametrize(
    "hook",
    [
        lambda request, routes: None,
        lambda request, routes: 1 / 0,
        lambda request, routes: "nonsense",
    ],
)
def test_a_plugin_that_does_not_choose_rightly_leaves_it_to_auto(choose, hook):
    decision = choose(fast(), hooks={"allin1_select_route": hook})
    assert str(decision.chosen) == "spectrogram=fast"
    assert decision.decided_by == "auto"


@pytest.fixture
def twins(isolated_plugins, make_plugin):
    """Two plugins with a backend of one name, the second faster."""

    def make(**changes):
        return isolated_plugins(
            one=make_plugin(allin1_spectrogram=lambda: [fast("same", rate=1e-4, **changes)]),
            two=make_plugin(allin1_spectrogram=lambda: [fast("same", rate=1e-6, **changes)]),
        )

    return make


def decide_between(plugins, *choices):
    offers = collect_offers(plugins)
    named = tuple(Choice(stage, name) for stage, name in choices)
    request = RouteRequest(stages=("spectrogram",), audio_s=100.0, choices=named)
    return decide(plugins, offers, request, Probes(), {}, Priors(offers.bridges))


def test_a_name_that_two_plugins_use_is_an_error_that_lists_them(twins):
    with pytest.raises(SelectionError, match="called same") as caught:
        decide_between(twins(), ("spectrogram", "same"))
    assert caught.value.remedy == "Name one of one/same, two/same."


def test_auto_takes_the_better_of_two_with_one_name_and_the_full_name_takes_either(twins):
    assert str(decide_between(twins()).chosen) == "spectrogram=two/same"
    for name in ("one/same", "two/same"):
        decision = decide_between(twins(), ("spectrogram", name))
        assert str(decision.chosen) == f"spectrogram={name}"
    by_plugin = decide_between(twins(), ("spectrogram", "one"))
    assert str(by_plugin.chosen) == "spectrogram=one/same"


def test_a_full_name_asks_for_an_opt_in_and_is_understood_where_the_name_is_not_shared(
    twins, choose
):
    decision = decide_between(twins(opt_in=True), ("spectrogram", "one/same"))
    assert str(decision.chosen) == "spectrogram=one/same"
    decision = choose(fast("quick", opt_in=True), choices=(("spectrogram", "mine/quick"),))
    assert str(decision.chosen) == "spectrogram=quick"
    with pytest.raises(SelectionError, match="called other/quick"):
        choose(fast("quick"), choices=(("spectrogram", "other/quick"),))


def test_a_backend_that_has_the_name_of_another_plugin_does_not_take_its_place(
    isolated_plugins, make_plugin
):
    plugins = isolated_plugins(
        torch=make_plugin(allin1_spectrogram=lambda: [fast("torch-cpu")]),
        bold=make_plugin(allin1_spectrogram=lambda: [fast("torch", rate=0.0)]),
    )
    with pytest.raises(SelectionError, match=r"Name one of bold/torch, torch/torch-cpu"):
        decide_between(plugins, ("spectrogram", "torch"))


def test_sys_exit_in_a_probe_or_in_the_choice_of_a_route_is_the_plugins_failure(choose):
    decision = choose(fast(probe="sys:exit"))
    assert "raised SystemExit" in refusal(decision, "fast").reason
    decision = choose(fast(), hooks={"allin1_select_route": lambda request, routes: sys.exit(1)})
    assert str(decision.chosen) == "spectrogram=fast"


@pytest.mark.parametrize(
    "verdict",
    [Ready(None), Ready("cpu", 5), Unavailable(None), Unavailable(""), Broken(OSError("x"))],
)
def test_a_verdict_that_is_wrong_in_a_field_is_the_probes_failure(choose, monkeypatch, verdict):
    monkeypatch.setattr(types, "probe_wrong", lambda: verdict, raising=False)
    found = refusal(choose(fast(probe="types:probe_wrong")), "fast")
    assert found.gate == "probe"
    assert f"returned {type(verdict).__name__}: " in found.reason
    assert "; wanted " in found.reason


def test_a_copy_of_a_route_is_taken_for_the_route_that_was_offered(choose):
    def copied(request, routes):
        return copy.deepcopy(routes[-1])

    decision = choose(fast(), hooks={"allin1_select_route": copied})
    assert decision.chosen is decision.routes[-1]
    assert decision.decided_by == "mine"


@pytest.mark.parametrize("asked", [IDENTICAL, close(1e-9), event(0.0), LOSSY])
def test_a_backend_without_a_reference_is_eligible_whatever_parity_was_requested(choose, asked):
    decision = choose(fast(parity=None), parity=asked)
    assert str(decision.chosen) == "spectrogram=fast"
    assert "no reference" in str(decision)
    (values,) = [v for v in decision.to_json()["stages"]["spectrogram"] if v["name"] == "fast"]
    assert values["parity"] is None


def test_in_a_tie_a_backend_without_a_reference_comes_last(choose):
    named = (("spectrogram", "mine"),)
    decision = choose(fast("a", rate=1.0, parity=None), fast("z", rate=1.01), choices=named)
    assert str(decision.chosen) == "spectrogram=z"


def test_authors_are_informed_how_many_routes_they_are_offered():
    assert f"at most {KEPT} routes" in SelectionSpecs.allin1_select_route.__doc__


def test_stems_in_blocks_leave_the_device_and_the_route_knows(choose):
    """The device is fast and the way to it dear: what stays there is best done there, what comes home anyway is not."""
    dear = [
        Bridge(HOST, NPU, "nowhere:up", latency_s=1.0),
        Bridge(NPU, HOST, "nowhere:down", latency_s=1.0),
    ]
    separator = on_npu("apart", "demix", 1e-6)
    backends = [on_npu("there", "spectrogram", 1e-6), fast("here", rate=1e-3)]
    stages = ("demix", "spectrogram")
    for streams, in_blocks, route in [
        (True, (), "demix=apart, spectrogram=there"),
        (True, ("demix",), "demix=apart, spectrogram=here"),
        (False, ("demix",), "demix=apart, spectrogram=there"),
    ]:
        one = dataclasses.replace(separator, streams=streams)
        decision = choose(one, *backends, bridges=dear, stages=stages, in_blocks=in_blocks)
        assert str(decision.chosen) == route
        ways = [[str(b.destination) for b in step.bridges] for step in decision.chosen.steps]
        assert ways == [["arrays/npu"], ["numpy/cpu"] if route.endswith("=here") else []]


def test_a_song_is_separated_whole_for_a_backend_that_spans_more_than_the_spectrogram(choose):
    separator = dataclasses.replace(fast("apart", "demix"), streams=True)
    fused = fast("fused", "spectrogram", spans=("spectrogram", "nn"))
    stages = ("demix", "spectrogram", "nn")
    decision = choose(separator, fused, stages=stages, in_blocks=("demix",))
    assert str(decision.chosen) == "demix=apart, spectrogram=fused"


def quick(name="lazy", start_s=1.0, library="slow-library", **changes):
    """A backend that seems ready at once, and whose library takes a while to start."""
    module = types.ModuleType(f"quick_{name.replace('-', '_')}")
    module.asked = []
    module.look = lambda: Ready("cpu", "seen", (StartUp(library, start_s),))

    def check():
        module.asked.append(name)
        return Ready("cpu", "seen")

    module.check = changes.pop("check", check)
    sys.modules[module.__name__] = module  # which no other test has
    target = module.__name__
    return fast(name, probe=f"{target}:check", quick_probe=f"{target}:look", **changes), module


def test_a_route_is_chosen_by_what_the_quick_probe_says_and_the_probe_is_not_asked(choose):
    backend, module = quick()
    decision = choose(backend, fast("slow", rate=1e3), probes=(probes := Probes()))
    assert str(decision.chosen) == "spectrogram=reference"  # which needs less than a second
    assert module.asked == []
    assert not probes.is_confirmed(backend)
    assert probes.confirm(backend) == Ready("cpu", "seen")
    assert module.asked == ["lazy"]
    # What was started is paid for.
    assert str(choose(backend, probes=probes).chosen) == "spectrogram=lazy"


def test_what_the_program_has_imported_needs_no_start(choose, monkeypatch):
    monkeypatch.setitem(sys.modules, "slow_library", types.ModuleType("slow_library"))
    backend, _ = quick(library="slow_library", start_s=1e3)
    assert str(choose(backend).chosen) == "spectrogram=lazy"


def test_what_two_steps_need_is_started_once(choose):
    first, _ = quick("first", start_s=0.05, stage="spectrogram", rate=0.0)
    second, _ = quick("second", start_s=0.05, stage="nn", rate=0.0)
    decision = choose(first, second, stages=("spectrogram", "nn"))
    assert str(decision.chosen) == "spectrogram=first, nn=second"
    assert decision.chosen.cost_s == pytest.approx(0.05)
    assert [step.cost_s for step in decision.chosen.steps] == [pytest.approx(0.05), 0.0]


def test_both_branches_share_what_is_started(choose):
    backends = [
        quick(f"branch-{stage.replace('_', '-')}", start_s=1e-3, stage=stage, rate=0.0)[0]
        for stage in ("metrical_prep", "functional")
    ]
    stages = ("metrical_prep", "metrical_dbn", "functional")
    decision = choose(
        *backends, fast("decoder", "metrical_dbn", rate=0.0), stages=stages, audio_s=1e4
    )
    assert {step.backend.name for step in decision.chosen.steps} >= {"decoder"} | {
        backend.name for backend in backends
    }
    assert decision.chosen.cost_s == pytest.approx(1e-3, abs=2e-4)


def test_a_thorough_look_asks_the_probe_and_prices_as_if_nothing_was_started(choose):
    backend, module = quick()
    probes = Probes()
    probes.is_thorough = True
    decision = choose(backend, probes=probes)
    assert module.asked == ["lazy"]
    assert str(decision.chosen) == "spectrogram=reference"
    broken, _ = quick("broken", start_s=0.0, check=probe_broken)
    assert refusal(choose(broken, probes=probes), "broken").gate == "probe"


@pytest.mark.parametrize("look", [lambda: None, probe_raises, probe_of_wrong_type])
def test_where_the_quick_probe_cannot_tell_the_probe_is_asked_at_once(choose, look):
    backend, module = quick()
    module.look = look
    assert str(choose(backend).chosen) == "spectrogram=lazy"
    assert module.asked == ["lazy"]


def test_what_the_quick_probe_refuses_is_refused_without_the_probe(choose):
    backend, module = quick()
    module.look = probe_absent
    decision = choose(backend)
    assert refusal(decision, "lazy").reason == "No device was found."
    assert module.asked == []


def test_a_backend_that_only_seemed_ready_counts_as_a_surprise_once(choose):
    backend, _ = quick(start_s=0.0, check=probe_broken)
    probes = Probes()
    assert str(choose(backend, probes=probes).chosen) == "spectrogram=lazy"
    for _ in range(2):
        assert isinstance(probes.confirm(backend), Broken)
    assert probes.surprises == 1
    assert refusal(choose(backend, probes=probes), "lazy").gate == "probe"
