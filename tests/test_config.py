"""Configurations: defaults are the memo's, and whatever is wrong is named."""

import pytest
import scripted_engines

from mpiapp.config import Config, ConfigError, load
from mpiapp.posterior import Smoothing

MINIMAL = "[[input]]\nprep3 = 'a.fits'\n[output]\nresults = 'r.h5'\n"


def write(tmp_path, text):
    path = tmp_path / "job.toml"
    path.write_text(text)
    return path


def test_the_defaults_are_the_memos(tmp_path):
    config = load(write(tmp_path, MINIMAL))
    assert config.engine.name == "pymc3"
    pymc3 = config.engine.pymc3
    assert (pymc3.chains, pymc3.draws, pymc3.tune) == (2, 1000, 1000)
    assert (pymc3.target_accept, pymc3.init) == (0.95, "advi+adapt_diag")
    policy = config.policy()
    assert policy.smoothing == Smoothing(bandwidth=1.0, level=0.68, upper_limit="catalog")
    assert (policy.prior_factor, policy.background_factor) == (10, 10)
    assert policy.energy_floor == 5e-18
    assert config.input[0].levels == ["obsid", "stack", "master"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "[engin]\nname = 'x'\n", "unknown key engin: did you mean engine"),
        (MINIMAL + "[engine]\nnam = 'x'\n", "unknown key engine.nam: did you mean name"),
        (MINIMAL + "[engine]\nname = 'nuts'\n", "engine.name = 'nuts'.*expected one of pymc3"),
        (MINIMAL + "[engine.pymc3]\nchains = 1\n", "engine.pymc3.chains = 1.*greater"),
        (MINIMAL + "[summary]\nlevel = 1.5\n", "summary.level = 1.5"),
        (MINIMAL + "[select]\nbands = ['x']\n", r"select.bands.0 = 'x'"),
        (MINIMAL.replace("'a.fits'", "[]"), "input.0.prep3"),
        ("[output]\nresults = 'r.h5'\n", "input is missing"),
        ("[[input]\n", "not valid TOML"),
        (MINIMAL + "seed = 1\n", "unknown key output.seed: expected one of results"),
        (MINIMAL + "x = " + "[" * 50_000, "not valid TOML: .*(nested|recursion)"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert all(line.startswith(f"{path}: ") for line in str(caught.value).splitlines())


@pytest.mark.parametrize("value", ["inf", "nan", "1e308", "9223372036854775808", "0", "-1"])
@pytest.mark.parametrize("key", ["job_seconds", "reserve_seconds", "run_seconds"])
def test_a_time_limit_without_an_end_is_refused(tmp_path, key, value):
    """The system's timers take none, so that every run would fail."""
    with pytest.raises(ConfigError, match=f"limits.{key} = "):
        load(write(tmp_path, MINIMAL + f"[limits]\n{key} = {value}\n"))


def test_every_fault_is_told_at_once(tmp_path):
    path = write(tmp_path, MINIMAL + "x = 1\n[engine]\ny = 2\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) == 2


def test_input_in_single_brackets_is_told_how_to_write_it(tmp_path):
    with pytest.raises(ConfigError, match=r"input: write \[\[input\]\], in double brackets"):
        load(write(tmp_path, MINIMAL.replace("[[input]]", "[input]")))


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_an_unreadable_file_is_named(tmp_path, content):
    path = tmp_path / "job.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"job\.toml"):
        load(path)


def test_the_hash_covers_what_decides_the_numbers_only(tmp_path):
    def hashed(**changes):
        data = {"input": [{"prep3": "a"}], "output": {"results": "r"}} | changes
        return Config.model_validate(data).hash()

    assert hashed() == hashed(output={"results": "elsewhere"})
    assert hashed() == hashed(engine={"scratch": "/fast"})
    assert hashed() != hashed(seed=1)
    assert hashed() != hashed(engine={"pymc3": {"tune": 500}})
    assert hashed() == hashed(engine={"gibbs": {"draws": 80}})  # of an engine that is not used
    assert hashed() != hashed(engine={"name": "gibbs"})
    assert hashed() != hashed(summary={"bandwidth": 0.5})


def test_the_settings_of_another_packages_engine_may_be_any_toml(tmp_path):
    text = MINIMAL + "[engine]\nname = 'a.b:C'\noptions = {{day = 1979-05-{}}}\n"
    first, second = (load(write(tmp_path, text.format(day))).hash() for day in (27, 28))
    assert first != second


@pytest.mark.parametrize("name", ["", "twelve_bytes_", "eleven_byteé", "a\nb"])
def test_an_engine_whose_name_does_not_fit_into_results_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.setattr(scripted_engines.GammaEngine, "name", name)
    engine = "[engine]\nname = 'scripted_engines:GammaEngine'\n"
    with pytest.raises(ConfigError, match=r"it is called .* expected at most 12 characters"):
        load(write(tmp_path, MINIMAL + engine)).engine.create()
