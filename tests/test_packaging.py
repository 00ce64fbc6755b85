"""The recipes in packaging/ ask for what setup.cfg asks for, and name what is there."""

import configparser
import re
import subprocess

import pytest
from documents import ROOT

import mpiapp

RECIPES = ROOT / "packaging"
CONDA = (RECIPES / "conda" / "meta.yaml").read_text()
SPACK = (RECIPES / "spack" / "package.py").read_text()


def required() -> dict[str, str]:
    """Package and lowest version, as setup.cfg has them."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].split("\n")
    return dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in lines if line)


def as_numbers(version: str) -> list[int]:
    """3.10 is more than 3.9; zeros at the end say nothing."""
    numbers = [int(word) for word in version.split(".")]
    while numbers[-1] == 0:
        numbers.pop()
    return numbers


def test_packages_that_astropy_loads_late_are_required():
    uses = [path for path in (ROOT / "mpiapp").rglob("*.py") if "_sky(" in path.read_text()]
    assert uses, "nothing matches positions with astropy any more, nor needs scipy"
    assert "scipy" in required()  # search_around_sky imports it, and astropy does not require it


@pytest.mark.parametrize("package", required())
def test_recipes_ask_for_the_same_versions(package):
    wanted = as_numbers(required()[package])
    conda = re.search(rf"- {package}(?:-base)? >=([\d.]+)", CONDA)
    spack = re.search(rf'depends_on\("py-{package}@([\d.]+):', SPACK)
    assert conda and as_numbers(conda[1]) == wanted
    assert spack and as_numbers(spack[1]) == wanted


def test_recipes_ask_for_nothing_else():
    run = CONDA[CONDA.index("  run:") : CONDA.index("test:")]
    names = {name.removesuffix("-base") for name in re.findall(r"- ([\w-]+) ", run)}
    assert names - {"python"} == set(required())


def test_the_conda_recipe_is_of_this_version():
    assert f'version = "{mpiapp.__version__}"' in CONDA


def test_files_that_containers_take_are_there():
    for recipe in ("Dockerfile", "apptainer.def"):
        for path in re.findall(r"config/[\w.-]+", (RECIPES / recipe).read_text()):
            assert (ROOT / path).exists(), f"{recipe}: {path}"


@pytest.mark.parametrize("section", ["post", "test", "runscript", "environment"])
def test_sections_of_the_apptainer_recipe_are_shell(section):
    text = (RECIPES / "apptainer.def").read_text()
    script = re.search(rf"^%{section}\n(.*?)(?=^%|\Z)", text, re.MULTILINE | re.DOTALL)[1]
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
