"""A module's tests are found by its name, and every test that is named after one has it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.house import parsed
from tests.mutants import MODULES

ROOT = Path(__file__).parent.parent.parent

ELSEWHERE: Mapping[str, str] = {
    "download/client": "needs a server: tests/integration/test_download.py",
    "joblog/client": "needs a server: tests/integration/joblog/test_http.py",
    "local/agent": "needs processes: tests/integration/test_local_cli.py, test_aws_walkthrough.py",
    "local/files": "needs a local AWS: tests/integration/test_local_cli.py",
    "local/policies": "compared with examples/: tests/unit/test_examples.py",
}
"""Modules with logic and no tests of their name, each with the reason and the tests it has."""

WITHOUT_MODULE = {
    "architecture": "the imports of all modules",
    "docs": "README.md and docs/",
    "examples": "examples/",
    "packaging": "packaging/, tests/reference/ and tests/oldest.py",
    "rauc_hooks": "examples/rauc/",
    "tests": "this module",
    "machine/world": "a model of the world around the machine",
}
"""Unit tests of something else than a module of their name."""


# --- what counts as logic -----------------------------------------------------------------------


def has_logic(tree: ast.Module) -> bool:
    """Whether anything is decided in a module. Protocols, constants, data without methods and
    functions that exist for the type checker alone decide nothing."""
    return any(_decides(node) for node in tree.body)


def _decides(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef):
        return not _is_protocol(node) and any(map(_decides, node.body))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return not _is_static_check(node)
    return isinstance(node, ast.For | ast.While | ast.With | ast.Try)


def _is_protocol(node: ast.ClassDef) -> bool:
    names = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return any(isinstance(name, ast.Name) and name.id == "Protocol" for name in names)


def _is_static_check(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A function that returns its argument says that the one type is the other."""
    match node.body:
        case [ast.Return(value=ast.Name(id=name))]:
            return name in [argument.arg for argument in node.args.args]
    return False


# --- the two trees ------------------------------------------------------------------------------


def modules(*, plain: bool = False) -> Iterator[str]:
    """Modules with logic below ``upparat/``, such as ``net/proxy``. What a package holds by itself
    counts as a module of the package's name: ``machine/machine``.

    :param plain: also modules without logic.
    """
    package = ROOT / "upparat"
    for path in sorted(package.rglob("*.py")):
        stem = path.parent.name if path.name == "__init__.py" else path.stem
        logic = has_logic(parsed(path))
        if logic or (plain and path.name != "__init__.py"):
            yield path.relative_to(package).with_name(stem).as_posix()


def places_of_tests(module: str, all_modules: list[str]) -> list[Path]:
    """Where its tests may be. Integration tests need no folder if no other module has the name."""
    *wing, name = module.split("/")
    file = f"test_{name}.py"
    places = [Path("unit", *wing, file), Path("integration", *wing, file)]
    if [each.rpartition("/")[2] for each in all_modules].count(name) == 1:
        places.append(Path("integration", file))
    return [place for place in places if (ROOT / "tests" / place).exists()]


class NameTests(SynchronousTestCase):
    def test_each_module_with_logic_has_tests_of_its_name(self) -> None:
        found = list(modules())
        self.assertGreater(len(found), 50)
        without = {module for module in found if not places_of_tests(module, found)}
        self.assertEqual(without, set(ELSEWHERE))

    def test_each_unit_test_is_named_after_a_module(self) -> None:
        unit = ROOT / "tests" / "unit"
        paths = [path.relative_to(unit).with_suffix("") for path in unit.rglob("test_*.py")]
        names = {path.with_name(path.name.removeprefix("test_")).as_posix() for path in paths}
        self.assertEqual(names - set(modules(plain=True)), set(WITHOUT_MODULE))


class TrialTests(SynchronousTestCase):
    def test_unit_tests_need_no_pytest(self) -> None:
        """They run under trial as well."""
        for path in sorted((ROOT / "tests" / "unit").rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = [alias.name for alias in node.names]
                    modules = names if isinstance(node, ast.Import) else [node.module or ""]
                    self.assertNotIn("pytest", {name.partition(".")[0] for name in modules}, path)
            for each in tree.body:
                self.assertFalse(getattr(each, "name", "").startswith("test_"), path)


class MutantsTests(SynchronousTestCase):
    def test_modules_and_tests_exist(self) -> None:
        for module, tests in MODULES.items():
            for path in (module, *tests.split()):
                self.assertTrue((ROOT / path).exists(), path)


class LogicTests(SynchronousTestCase):
    def test_logic(self) -> None:
        for source in (
            "def double(x): return 2 * x",
            "class A:\n    def f(self): return 1",
            "try:\n    import x\nexcept ImportError: pass",
            "class A(Protocol): ...\nclass B(A):\n    def f(self): return 1",
        ):
            self.assertTrue(has_logic(ast.parse(source)), source)

    def test_no_logic(self) -> None:
        for source in (
            "'''Text.'''\nfrom x import y\nLIMIT = 3",
            "class A(Protocol):\n    def f(self) -> int: ...",
            "class A(Protocol[T]):\n    def f(self) -> T: ...",
            "@dataclass\nclass A:\n    x: int = 0",
            "class A(Enum):\n    X = 1",
            "def _is_port(adapter: A) -> Port:\n    return adapter",
        ):
            self.assertFalse(has_logic(ast.parse(source)), source)
