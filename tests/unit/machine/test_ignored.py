"""The table is whole: each pair of state and input is decided, and what is ignored does nothing."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import ALL_HOOKS, execution
from tests.unit.machine.bench import Life
from upparat import machine
from upparat.job import Hook, Report, State
from upparat.machine import IGNORED, Inputs


class TableTests(SynchronousTestCase):
    def test_every_pair_is_decided(self) -> None:
        automaton = machine.machine.__automat_automaton__
        transitions = automaton.allTransitions()
        decided = [(old.name, name) for old, name, _, _ in transitions]
        decided += [
            (state, event.__name__)
            for state, ignored in IGNORED.items()
            for event in ignored
            if not event.__name__.startswith("_")
        ]
        states = {old.name for old, *_ in transitions} | {new.name for _, _, new, _ in transitions}
        inputs = {name for name in dir(Inputs) if not name.startswith("__") and name[:4] != "_abc"}
        inputs -= {"_is_protocol", "_is_runtime_protocol"}
        self.assertEqual(sorted(product(states, inputs)), sorted(decided))

    def test_the_states_are_those_of_the_design(self) -> None:
        self.assertEqual(
            set(IGNORED),
            {
                "idle",
                "fetch_jobs",
                "monitor",
                "select_job",
                "verify_job",
                "download",
                "install",
                "restart",
                "verify_installation",
                "rollback",
                "hold",
                "wind_down",
                "cleanup",
                "stopped",
            },
        )

    def test_ignored_inputs_have_no_effect(self) -> None:
        arguments: dict[str, tuple[object, ...]] = {
            "start": (None,),
            "pending": ([], []),
            "described": (execution("z"),),
            "describe_failed": ("z", True),
            "delivered": (State.REBOOT_START,),
            "undeliverable": (State.REBOOT_START,),
            "version_known": ("2.0",),
            "install_output": ("line",),
            "hook_failed": (Hook.INSTALL, "no", {}),
            "rolled_back": (False,),
            "progressed": (1, 2),
            "downloaded": ("/f",),
            "url_expired": ("old",),
            "download_failed": (State.DOWNLOAD_FAILED, "no"),
            "held": (Report(State.WAITING_FOR_WINDOW, "later"),),
        }
        for state, life in self.lives().items():
            self.assertEqual(life.state, state)
            for ignored in IGNORED[state]:
                if not ignored.__name__.startswith("_"):
                    getattr(life.machine, ignored.__name__)(*arguments.get(ignored.__name__, ()))
                    self.assertEqual((life.state, life.taken()), (state, []), ignored.__name__)

    def lives(self) -> dict[str, Life]:
        monitoring = Life().started()
        monitoring.machine.pending([], [])
        stopped = Life().started()
        stopped.machine.stop()
        lives = {
            "idle": Life(),
            "fetch_jobs": Life().started(),
            "monitor": monitoring,
            "select_job": Life().selecting(),
            "verify_job": Life().verifying(),
            "download": Life().downloading(),
            "install": Life().installing(),
            "restart": Life().restarting(),
            "verify_installation": Life().checking(),
            "hold": Life().holding(),
            "wind_down": Life().winding_down(),
            "rollback": Life(ALL_HOOKS).rolling_back(),
            "cleanup": Life(ALL_HOOKS).cleaning(),
            "stopped": stopped,
        }
        return {state: life.quiet() for state, life in lives.items()}
